//! A learning rate that drops when the loss stops falling, after Keras's `ReduceLROnPlateau` in
//! mode `min`.

/// Watches one loss per epoch. The loss has fallen if `loss < best - min_delta`; then
/// `best ← loss`, and waiting starts anew. When it has not fallen for `patience` epochs,
/// `rate ← max(rate · factor, min_learning_rate)`; the `cooldown` epochs after that do not count as
/// waiting.
pub struct ReduceLearningRateOnPlateau {
    /// What the rate is multiplied by.
    pub factor: f64,
    /// How many epochs without a fall the rate stands.
    pub patience: usize,
    /// What a fall has to exceed.
    pub min_delta: f64,
    /// How many epochs after a drop are not counted.
    pub cooldown: usize,
    /// Where the rate stops dropping.
    pub min_learning_rate: f64,
    learning_rate: f64,
    best: f64,
    waited: usize,
    cooling: usize,
}

impl ReduceLearningRateOnPlateau {
    /// Keras's defaults for the rest: `min_delta` 1e-4, no cooldown, no least rate.
    pub fn new(learning_rate: f64, factor: f64, patience: usize) -> Self {
        ReduceLearningRateOnPlateau {
            factor,
            patience,
            min_delta: 1e-4,
            cooldown: 0,
            min_learning_rate: 0.0,
            learning_rate,
            best: f64::INFINITY,
            waited: 0,
            cooling: 0,
        }
    }

    /// Takes the loss of an epoch; returns the rate of the next.
    pub fn epoch(&mut self, loss: f64) -> f64 {
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if loss < self.best - self.min_delta {
            self.best = loss;
            self.waited = 0;
        } else if self.cooling == 0 {
            self.waited += 1;
            if self.waited >= self.patience && self.learning_rate > self.min_learning_rate {
                self.learning_rate = (self.learning_rate * self.factor).max(self.min_learning_rate);
                self.cooling = self.cooldown;
                self.waited = 0;
            }
        }
        self.learning_rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patience 2, cooldown 2, all losses equal. Epoch 1 is the best, 2 and 3 wait, so 3 drops. 4
    /// leaves one epoch of cooldown, which does not count; in 5 the cooldown ends, and waiting is
    /// 1; 6 drops. The third drop, in 9, stops at the least rate.
    #[test]
    fn cooldown_and_least_rate_by_hand() {
        let mut plateau = ReduceLearningRateOnPlateau {
            cooldown: 2,
            min_learning_rate: 0.2,
            ..ReduceLearningRateOnPlateau::new(1.0, 0.5, 2)
        };
        let rates: Vec<f64> = (0..12).map(|_| plateau.epoch(1.0)).collect();
        assert_eq!(
            rates,
            [
                1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2
            ]
        );
    }
}
