//! A trainer goes on to the same bits, whatever its optimizer keeps.

use host_tests::flash::SimulatedFlash;
use lightlayers::checkpoint::{self, CheckpointError, CheckpointStore, USER_DATA};
use lightlayers::file::{FileError, SectionKind};
use lightlayers::optim::{Adam, AdamW, ClipNorm, HeavyBall, Optimizer, Sgd};

use crate::run::{DROPOUT_SEED, NET, Small, buffers, samples, session, step};

type Flash = SimulatedFlash<4, 1024>;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn goes_on<O: Optimizer + Copy>(optimizer: O) {
    let slot = checkpoint::slot_size::<Flash, O>(&NET);
    let mut flash = Flash::new(8, 1);
    let mut samples = samples();
    let mut whole = buffers::<O>();
    whole.gradients.fill(0.0);
    let mut trainer = session(optimizer, &mut whole).with_dropout_seed(DROPOUT_SEED);
    let mut store = CheckpointStore::new(&mut flash, 0..2 * slot, 2).unwrap();
    for steps in 1..=20 {
        step(&mut trainer, &mut samples);
        if steps == 10 {
            trainer.save(&mut store, [1; USER_DATA]).unwrap();
        }
    }

    let mut parted = buffers::<O>();
    parted.gradients.fill(0.5);
    let mut other = session(optimizer, &mut parted);
    let found = other.restore(&mut store).unwrap().expect("a checkpoint");
    assert_eq!((found.steps, found.user_data), (10, [1; USER_DATA]));
    assert_eq!(other.steps(), 10);
    for _ in 10..20 {
        step(&mut other, &mut samples);
    }
    assert_eq!(bits(other.weights()), bits(trainer.weights()));
    assert_eq!(bits(other.gradients()), bits(trainer.gradients()));
    assert_eq!(bits(&whole.optimizer_state), bits(&parted.optimizer_state));
}

#[test]
fn every_optimizer_goes_on_to_the_same_bits() {
    goes_on(Sgd);
    goes_on(Sgd::momentum(0.9).unwrap());
    goes_on(Sgd::nesterov(0.9).unwrap());
    goes_on(Sgd::heavy_ball(0.9).unwrap());
    goes_on(ClipNorm::new(0.5, Sgd::heavy_ball(0.9).unwrap()).unwrap());
    goes_on(Adam::new());
    goes_on(AdamW::new(0.01, Adam::new()).unwrap());
}

/// A checkpoint of one optimizer is none of another.
#[test]
fn other_optimizers_are_told_apart() {
    let mut flash = Flash::new(2, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..2048, 2).unwrap();
    let heavy_ball = Sgd::heavy_ball(0.9).unwrap();
    let trainable = NET.trainable_weights();

    let mut saved = buffers::<HeavyBall>();
    saved.gradients.fill(0.5);
    let trainer = session(heavy_ball, &mut saved);
    trainer.save(&mut store, [0; USER_DATA]).unwrap();
    let mut other = buffers::<Sgd>();
    let section = |section, expected, found| {
        CheckpointError::Other(FileError::Section {
            section: Some(section),
            what: "bytes",
            expected,
            found,
        })
    };
    assert_eq!(
        session(Sgd, &mut other).restore(&mut store).unwrap_err(),
        section(SectionKind::GRADIENTS, 0, 4 * trainable)
    );

    let mut saved = buffers::<Sgd>();
    session(Sgd, &mut saved)
        .save(&mut store, [0; USER_DATA])
        .unwrap();
    let section_of_state = section(SectionKind::OPTIMIZER, 16 + 8 * trainable, 16);
    let mut adam = buffers::<Adam>();
    let before = adam.clone();
    let mut trainer = session(Adam::new(), &mut adam).with_steps(3);
    let error = trainer.restore(&mut store).unwrap_err();
    assert_eq!(error, section_of_state);
    assert_eq!(trainer.steps(), 3);
    assert_eq!(bits(&adam.weights), bits(&before.weights));
    assert_eq!(bits(&adam.optimizer_state), bits(&before.optimizer_state));
    let mut other = buffers::<HeavyBall>();
    assert_eq!(
        session(heavy_ball, &mut other)
            .restore(&mut store)
            .unwrap_err(),
        CheckpointError::Other(FileError::Missing {
            section: SectionKind::GRADIENTS
        })
    );

    // Inference wants the weights alone.
    let mut weights = vec![0.0; NET.weights()];
    let found = store.load_weights(Small, &mut weights).unwrap();
    assert_eq!(found, store.newest().unwrap());
    assert_eq!(bits(&weights), bits(&saved.weights));
}
