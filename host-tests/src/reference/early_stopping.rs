//! When to stop training, after Keras's `EarlyStopping` in mode `min`.

/// Watches one loss per epoch. The loss has fallen if `loss < best - min_delta`; training stops
/// when it has not fallen for `patience` epochs.
pub struct EarlyStopping {
    /// How many epochs without a fall training goes on.
    pub patience: usize,
    /// What a fall has to exceed.
    pub min_delta: f64,
    best: f64,
    epochs: usize,
    waited: usize,
}

impl EarlyStopping {
    /// Before the first epoch.
    pub fn new(patience: usize, min_delta: f64) -> Self {
        EarlyStopping {
            patience,
            min_delta,
            best: f64::INFINITY,
            epochs: 0,
            waited: 0,
        }
    }

    /// Takes the loss of an epoch; returns whether to stop. Never stops after the first epoch.
    pub fn epoch(&mut self, loss: f64) -> bool {
        self.epochs += 1;
        if loss < self.best - self.min_delta {
            self.best = loss;
            self.waited = 0;
            return false;
        }
        self.waited += 1;
        self.waited >= self.patience && self.epochs > 1
    }
}
