//! Learning rates and early stopping against the reference.

use host_tests::reference::early_stopping::EarlyStopping as ReferenceStopping;
use host_tests::reference::plateau::ReduceLearningRateOnPlateau;
use host_tests::reference::schedule as reference;
use host_tests::sample;
use lightlayers::schedule::{
    Constant, Cosine, EarlyStopping, ReduceOnPlateau, Schedule, StepDecay, Verdict,
};

fn assert_rate(name: &str, step: u32, found: f32, expected: f64, largest: f64) {
    let error = (f64::from(found) - expected).abs() / largest;
    assert!(
        error <= 1e-6,
        "{name}, step {step}: {found}, expected {expected}"
    );
}

#[test]
fn rates_known_beforehand() {
    let steps = (0..300).chain([1000, 100_000, u32::MAX]);
    for (warmup, floor) in [(0, 0.0), (10, 0.0), (1, 0.01), (100, 0.002)] {
        let schedule = Cosine {
            peak: 0.1,
            warmup,
            decay: 137,
            floor,
        };
        let twin = reference::CosineDecay {
            initial_learning_rate: 0.0,
            decay_steps: 137,
            alpha: f64::from(floor) / f64::from(0.1_f32),
            warmup: Some(reference::Warmup {
                target: f64::from(0.1_f32),
                steps: u64::from(warmup),
            }),
        };
        for step in steps.clone() {
            let expected = twin.learning_rate(u64::from(step));
            assert_rate("cosine", step, schedule.rate(step), expected, 0.1);
        }
    }

    let schedule = StepDecay {
        initial: 0.5,
        factor: 0.3,
        every: 40,
    };
    let twin = reference::StepDecay {
        initial_learning_rate: 0.5,
        factor: f64::from(0.3_f32),
        interval: 40,
    };
    for step in 0..300 {
        let expected = twin.learning_rate(u64::from(step));
        assert_rate("steps", step, schedule.rate(step), expected, expected);
    }
    let never = StepDecay {
        every: 0,
        ..schedule
    };
    for step in steps {
        assert_eq!((never.rate(step), Constant(0.5).rate(step)), (0.5, 0.5));
    }
}

/// Losses that fall and stay: multiples of 1/64, so that `f32` and `f64` compare them alike.
fn losses(seed: u64) -> Vec<f32> {
    let drawn = sample::uniform(60, 0.0, 64.0, seed);
    let falling = drawn.iter().enumerate();
    falling
        .map(|(epoch, drawn)| ((drawn / (1.0 + epoch as f64 / 20.0)).round() / 64.0) as f32)
        .collect()
}

#[test]
fn plateaus_are_seen_like_keras_does() {
    for seed in 0..200 {
        let [patience, cooldown] = [(seed % 5) as u32, (seed / 5 % 4) as u32];
        let min_delta = [0.0, 1.0 / 64.0, 0.25][(seed % 3) as usize];
        let min_rate = [0.0, 0.125][(seed % 2) as usize];
        let mut schedule = ReduceOnPlateau::new(1.0, 0.5, patience, min_delta)
            .with_min_rate(min_rate)
            .with_cooldown(cooldown);
        let mut twin = ReduceLearningRateOnPlateau::new(1.0, 0.5, patience as usize);
        twin.min_delta = f64::from(min_delta);
        twin.cooldown = cooldown as usize;
        twin.min_learning_rate = f64::from(min_rate);
        for (epoch, loss) in losses(seed).into_iter().enumerate() {
            schedule.observe(loss);
            let expected = twin.epoch(f64::from(loss));
            // Halves are exact.
            let found = f64::from(schedule.rate(epoch as u32));
            assert_eq!(found, expected, "seed {seed}, epoch {epoch}");
        }
    }
}

#[test]
fn training_stops_where_keras_does_with_the_best_weights() {
    let (mut stopped, mut went_on) = (0, 0);
    for seed in 0..200 {
        let patience = [0, 1, 3, 8, 20, 40][(seed % 6) as usize];
        let min_delta = [0.0, 1.0 / 64.0][(seed % 2) as usize];
        let mut kept = [f32::NAN; 2];
        let mut stopping = EarlyStopping::new(patience, min_delta, &mut kept);
        let mut twin = ReferenceStopping::new(patience as usize, f64::from(min_delta));
        let (mut best, mut best_epoch, mut stop) = (f32::INFINITY, 0, false);
        for (epoch, loss) in losses(seed).into_iter().enumerate() {
            let verdict = stopping.observe(loss, &[epoch as f32, loss]).unwrap();
            stop = twin.epoch(f64::from(loss));
            let improved = loss < best - min_delta;
            if improved {
                (best, best_epoch) = (loss, epoch);
            }
            let expected = match (improved, stop) {
                (true, _) => Verdict::Improved,
                (false, true) => Verdict::Exhausted,
                (false, false) => Verdict::Waiting,
            };
            assert_eq!(verdict, expected, "seed {seed}, epoch {epoch}");
            assert_eq!(stopping.best_loss(), best);
            if stop {
                break;
            }
        }
        let mut weights = [0.0; 2];
        stopping.restore(&mut weights).unwrap();
        assert_eq!(weights, [best_epoch as f32, best], "seed {seed}");
        stopped += usize::from(stop);
        went_on += usize::from(!stop);
    }
    assert!(
        stopped > 10 && went_on > 10,
        "{stopped} stopped, {went_on} did not"
    );
}

#[test]
fn without_a_loss_there_are_no_best_weights() {
    let mut kept = [7.0];
    let mut stopping = EarlyStopping::new(3, 0.0, &mut kept);
    let mut weights = [1.0];
    stopping.restore(&mut weights).unwrap();
    assert_eq!(weights, [1.0]);
    // NaN is no better than anything.
    assert_eq!(stopping.observe(f32::NAN, &[2.0]), Ok(Verdict::Waiting));
    stopping.restore(&mut weights).unwrap();
    assert_eq!(weights, [1.0]);
}
