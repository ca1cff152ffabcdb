//! Optimizers, after Keras 3. Each step is given its learning rate, so that any schedule can drive
//! it.

/// Takes gradients, moves parameters.
pub trait Optimizer {
    /// One step. `parameters` and `gradients` have one length, the same in every step.
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64);
}

/// Stochastic gradient descent: `p ← p - lr · g`.
pub struct Sgd;

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64) {
        assert_eq!(parameters.len(), gradients.len());
        for i in 0..parameters.len() {
            parameters[i] -= learning_rate * gradients[i];
        }
    }
}

/// Momentum: `v ← momentum · v - lr · g`, then `p ← p + v`.
///
/// The rate is inside the velocity: what is in there keeps its step when the rate changes.
pub struct Momentum {
    momentum: f64,
    velocity: Vec<f64>,
}

impl Momentum {
    /// Starts at rest.
    pub fn new(momentum: f64, parameters: usize) -> Self {
        Momentum {
            momentum,
            velocity: vec![0.0; parameters],
        }
    }
}

impl Optimizer for Momentum {
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64) {
        assert_eq!(parameters.len(), gradients.len());
        for i in 0..parameters.len() {
            self.velocity[i] = self.momentum * self.velocity[i] - learning_rate * gradients[i];
            parameters[i] += self.velocity[i];
        }
    }
}

/// Nesterov's momentum: `v ← momentum · v - lr · g`, then `p ← p + momentum · v - lr · g` with the
/// new `v`.
pub struct Nesterov {
    momentum: f64,
    velocity: Vec<f64>,
}

impl Nesterov {
    /// Starts at rest.
    pub fn new(momentum: f64, parameters: usize) -> Self {
        Nesterov {
            momentum,
            velocity: vec![0.0; parameters],
        }
    }
}

impl Optimizer for Nesterov {
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64) {
        assert_eq!(parameters.len(), gradients.len());
        for i in 0..parameters.len() {
            self.velocity[i] = self.momentum * self.velocity[i] - learning_rate * gradients[i];
            parameters[i] += self.momentum * self.velocity[i] - learning_rate * gradients[i];
        }
    }
}

/// Adam: `m ← β1 m + (1 - β1) g`, `v ← β2 v + (1 - β2) g²`, then in step `t = 1, 2, ..`
/// `p ← p - lr · sqrt(1 - β2^t) / (1 - β1^t) · m / (sqrt(v) + ε)`.
///
/// `ε` is added to the root of the uncorrected `v`: the "epsilon hat" of Kingma and Ba's paper
/// (arXiv 1412.6980).
pub struct Adam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    steps: i32,
    first_moment: Vec<f64>,
    second_moment: Vec<f64>,
}

impl Adam {
    /// Starts with both moments 0.
    pub fn new(beta_1: f64, beta_2: f64, epsilon: f64, parameters: usize) -> Self {
        Adam {
            beta_1,
            beta_2,
            epsilon,
            steps: 0,
            first_moment: vec![0.0; parameters],
            second_moment: vec![0.0; parameters],
        }
    }
}

impl Optimizer for Adam {
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64) {
        assert_eq!(parameters.len(), gradients.len());
        self.steps += 1;
        let correction =
            (1.0 - self.beta_2.powi(self.steps)).sqrt() / (1.0 - self.beta_1.powi(self.steps));
        for i in 0..parameters.len() {
            let g = gradients[i];
            let m = self.beta_1 * self.first_moment[i] + (1.0 - self.beta_1) * g;
            let v = self.beta_2 * self.second_moment[i] + (1.0 - self.beta_2) * g * g;
            self.first_moment[i] = m;
            self.second_moment[i] = v;
            parameters[i] -= learning_rate * correction * m / (v.sqrt() + self.epsilon);
        }
    }
}

/// AdamW: first `p ← p - lr · decay · p`, then the step of [`Adam`].
pub struct AdamW {
    adam: Adam,
    weight_decay: f64,
}

impl AdamW {
    /// Decays all of the parameters that `adam` moves.
    pub fn new(adam: Adam, weight_decay: f64) -> Self {
        AdamW { adam, weight_decay }
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, parameters: &mut [f64], gradients: &[f64], learning_rate: f64) {
        for parameter in parameters.iter_mut() {
            *parameter -= learning_rate * self.weight_decay * *parameter;
        }
        self.adam.step(parameters, gradients, learning_rate);
    }
}

/// Clips by the global norm `n = sqrt(Σ g²)` over all parameters: `g ← g · limit / max(n, limit)`.
/// Returns `n`.
pub fn clip_by_global_norm(gradients: &mut [f64], limit: f64) -> f64 {
    let norm = gradients
        .iter()
        .map(|gradient| gradient * gradient)
        .sum::<f64>()
        .sqrt();
    for gradient in gradients {
        *gradient *= limit / norm.max(limit);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_clipped_and_short_ones_left_alone() {
        let mut gradients = [3.0, 0.0, -4.0];
        assert_eq!(clip_by_global_norm(&mut gradients, 2.5), 5.0);
        assert_eq!(gradients, [1.5, 0.0, -2.0]);
        assert_eq!(clip_by_global_norm(&mut gradients, 3.0), 2.5);
        assert_eq!(gradients, [1.5, 0.0, -2.0]);
        assert_eq!(clip_by_global_norm(&mut [0.0, 0.0], 1.0), 0.0);
    }

    /// At `g = ε = 1e-7` the place of epsilon shows. First step: `m = 0.1 g`, `sqrt(v) = r g` with
    /// `r = sqrt(0.001)`, so that
    /// `lr · r / 0.1 · 0.1 g / (r g + ε) = lr · r / (r + 1) = 0.0306535 lr`.
    /// With epsilon next to the corrected moment it would be `lr / 2`.
    #[test]
    fn epsilon_of_adam_is_next_to_the_uncorrected_moment() {
        let mut parameters = [0.0];
        Adam::new(0.9, 0.999, 1e-7, 1).step(&mut parameters, &[1e-7], 1.0);
        assert!((parameters[0] + 0.030_653_5).abs() < 1e-7);
    }
}
