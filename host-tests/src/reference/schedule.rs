//! Learning rates that are known before training starts: functions of the step, which counts from
//! 0.

use std::f64::consts::PI;

/// Cosine decay with an optional linear warm-up, after Keras's `CosineDecay`.
#[derive(Clone, Copy, Debug)]
pub struct CosineDecay {
    /// The rate at step 0.
    pub initial_learning_rate: f64,
    /// Length of the decay, after the warm-up.
    pub decay_steps: u64,
    /// The last rate as a fraction of the highest.
    pub alpha: f64,
    /// What comes before the decay.
    pub warmup: Option<Warmup>,
}

/// A straight line from the initial rate to the target.
#[derive(Clone, Copy, Debug)]
pub struct Warmup {
    /// The rate at the end of the warm-up, from which it decays.
    pub target: f64,
    /// Length of the warm-up.
    pub steps: u64,
}

impl CosineDecay {
    /// While `step < warmup steps`: `initial + (target - initial) · step / warmup steps`. Then,
    /// with `s` the steps since the warm-up, at most `decay_steps`, and `highest` the target (the
    /// initial rate, if there is no warm-up):
    /// `highest · ((1 - alpha) · (1 + cos(π s / decay_steps)) / 2 + alpha)`.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let (highest, warmup_steps) = match self.warmup {
            Some(warmup) if step < warmup.steps => {
                let completed = step as f64 / warmup.steps as f64;
                let initial = self.initial_learning_rate;
                return initial + (warmup.target - initial) * completed;
            }
            Some(warmup) => (warmup.target, warmup.steps),
            None => (self.initial_learning_rate, 0),
        };
        let since_warmup = (step - warmup_steps).min(self.decay_steps);
        let completed = since_warmup as f64 / self.decay_steps as f64;
        highest * ((1.0 - self.alpha) * 0.5 * (1.0 + (PI * completed).cos()) + self.alpha)
    }
}

/// A rate that drops by a factor at regular intervals: Keras's `ExponentialDecay` with `staircase`.
#[derive(Clone, Copy, Debug)]
pub struct StepDecay {
    /// The rate of the first interval.
    pub initial_learning_rate: f64,
    /// What the rate is multiplied by after every interval.
    pub factor: f64,
    /// Length of an interval.
    pub interval: u64,
}

impl StepDecay {
    /// `initial · factor ^ floor(step / interval)`.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let mut rate = self.initial_learning_rate;
        for _ in 0..step / self.interval {
            rate *= self.factor;
        }
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_rates(rate: impl Fn(u64) -> f64, expected: &[(u64, f64)]) {
        for &(step, expected) in expected {
            let found = rate(step);
            assert!(
                (found - expected).abs() < 1e-12,
                "step {step}: expected {expected}, found {found}"
            );
        }
    }

    /// cos(π/3) = 1/2, cos(π/2) = 0, cos(2π/3) = -1/2, cos(π) = -1.
    #[test]
    fn cosine_decay_by_hand() {
        let decay = CosineDecay {
            initial_learning_rate: 0.4,
            decay_steps: 6,
            alpha: 0.2,
            warmup: None,
        };
        // 0.4 · (0.8 · (1 + cos) / 2 + 0.2)
        let expected = [
            (0, 0.4),
            (2, 0.32),
            (3, 0.24),
            (4, 0.16),
            (6, 0.08),
            (7, 0.08),
            (1000, 0.08),
        ];
        assert_rates(|step| decay.learning_rate(step), &expected);

        let warmup = Some(Warmup {
            target: 0.8,
            steps: 4,
        });
        let decay = CosineDecay {
            initial_learning_rate: 0.4,
            warmup,
            ..decay
        };
        let expected = [
            (0, 0.4),
            (1, 0.5),
            (3, 0.7),
            (4, 0.8),
            (6, 0.64),
            (7, 0.48),
            (10, 0.16),
            (11, 0.16),
        ];
        assert_rates(|step| decay.learning_rate(step), &expected);
    }

    #[test]
    fn step_decay_by_hand() {
        let decay = StepDecay {
            initial_learning_rate: 0.8,
            factor: 0.5,
            interval: 3,
        };
        let expected = [(0, 0.8), (2, 0.8), (3, 0.4), (5, 0.4), (6, 0.2), (9, 0.1)];
        assert_rates(|step| decay.learning_rate(step), &expected);
    }
}
