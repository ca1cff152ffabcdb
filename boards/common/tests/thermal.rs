//! The thermal camera on a bus that expects every byte: temperatures against the device's own table and hand calculations, and a network
//! that learns from what it sees.

use boards_common::thermal::{Address, Camera, CameraError, Labelled, PIXELS};
use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::{CheckedDelay, NoopDelay, Transaction as Wait};
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use lightlayers::dataset::{Dataset, Mixed, ReplayBuffer, ReplayMemory, Sample, Selection, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::{Buffer, Error, Memory, Model, Network, Trainer};

/// Registers from `0x80` are read in one transaction: 64 words, the lower byte first.
fn image_at(address: u8, words: [u16; PIXELS]) -> Transaction {
    let bytes = words.into_iter().flat_map(u16::to_le_bytes).collect();
    Transaction::write_read(address, vec![0x80], bytes)
}

fn image(words: [u16; PIXELS]) -> Transaction {
    image_at(0x68, words)
}

/// 25 °C, as the device's table has it.
const ROOM: u16 = 0x064;

/// Reads an image that starts with `words`, between two temperatures; the first values of it.
fn values(words: &[u16], coldest: f32, warmest: f32) -> Vec<f32> {
    let mut all = [ROOM; PIXELS];
    all[..words.len()].copy_from_slice(words);
    let mut bus = Mock::new(&[image(all)]);
    let mut camera = camera(&bus, coldest, warmest);
    let mut read = [f32::NAN; PIXELS];
    camera.read_image(&mut read).expect("temperatures");
    bus.done();
    read[..words.len()].to_vec()
}

fn camera(bus: &Mock, coldest: f32, warmest: f32) -> Camera<Mock> {
    Camera::new(bus.clone(), Address::Low, coldest, warmest).expect("temperatures in order")
}

/// Register 0 is power control, 1 reset, 2 the frame rate.
fn start_at(address: u8) -> [Transaction; 4] {
    [[0x00, 0x00], [0x01, 0x3f], [0x01, 0x30], [0x02, 0x00]]
        .map(|bytes| Transaction::write(address, bytes.to_vec()))
}

#[test]
fn it_starts() {
    for (pin, address) in [(Address::Low, 0x68), (Address::High, 0x69)] {
        let seen = [image_at(address, [ROOM; PIXELS])];
        let mut bus = Mock::new(&[&start_at(address)[..], &seen[..]].concat());
        let mut delay = CheckedDelay::new(&[50, 2, 200].map(Wait::blocking_delay_ms));
        let mut camera = Camera::new(bus.clone(), pin, 0.0, 50.0).expect("in order");
        camera.start(&mut delay).expect("expected bytes");
        let mut read = [0.0; PIXELS];
        camera.read_image(&mut read).expect("expected bytes");
        assert_eq!(read, [0.5; PIXELS]);
        camera.into_bus();
        bus.done();
        delay.done();
    }
}

/// The table of the device's format; black is -55 °C and white 125, so that 180 K are 1.
#[test]
fn temperatures_of_the_devices_table() {
    let table = [
        (0x1f4, 125.0),
        (0x064, 25.0),
        (0x001, 0.25),
        (0x000, 0.0),
        (0xfff, -0.25),
        (0xf9c, -25.0),
        (0xf24, -55.0),
    ];
    let read = values(&table.map(|(word, _)| word), -55.0, 125.0);
    for ((word, celsius), found) in table.into_iter().zip(read) {
        let expected = (celsius + 55.0) / 180.0;
        assert!(
            (f64::from(found) - expected).abs() < 1e-7,
            "{word:#x}: {found}, not {expected}"
        );
    }
}

/// From 15 to 35 °C, a quarter of a degree is 1 / 80: 60 quarters are 15 °C, 140 are 35.
#[test]
fn temperatures_beyond_black_and_white() {
    let read = values(&[60, 80, 61, 140, 59, 141, 0xfff, 500], 15.0, 35.0);
    assert_eq!(read, [0.0, 0.25, 0.0125, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

/// Each of the 65,536 words, at each place in turn: sign-extended by the processor, and from -220 to 500 quarters of a degree.
#[test]
fn every_word() {
    let expected = |word: u16| {
        let quarters = (word << 4) as i16 >> 4;
        let valid = word <= 0xfff && (-220..=500).contains(&quarters);
        valid.then(|| (f32::from(quarters) / 4.0 + 55.0) / 180.0)
    };
    let seen = (0..=u16::MAX).map(|word| {
        let mut words = [ROOM; PIXELS];
        words[usize::from(word) % PIXELS] = word;
        image(words)
    });
    let mut bus = Mock::new(&seen.collect::<Vec<_>>());
    let mut camera = camera(&bus, -55.0, 125.0);
    for word in 0..=u16::MAX {
        let pixel = usize::from(word) % PIXELS;
        let mut read = [2.0; PIXELS];
        let result = camera.read_image(&mut read);
        match expected(word) {
            Some(value) => assert_eq!((result, read[pixel]), (Ok(()), value), "{word:#x}"),
            None => {
                let found = word;
                assert_eq!(result, Err(CameraError::Pixel { pixel, found }));
                assert_eq!(read, [2.0; PIXELS], "an image of wrong words");
            }
        }
    }
    bus.done();
}

/// Of several wrong pixels the first is named; a bus that nothing pulls down is one.
#[test]
fn a_bus_without_a_device() {
    let mut bus = Mock::new(&[image([0xffff; PIXELS])]);
    let mut camera = camera(&bus, 0.0, 40.0);
    let error = camera
        .read_image(&mut [0.0; PIXELS])
        .expect_err("no temperatures");
    assert_eq!(
        error,
        CameraError::Pixel {
            pixel: 0,
            found: 0xffff
        }
    );
    assert_eq!(
        error.to_string(),
        "thermal camera: pixel 0: expected -55 to 125 °C in 12 bits, found 0xffff"
    );
    bus.done();
}

const MISSING: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);

/// After an error, nothing more is sent.
#[test]
fn a_bus_that_fails() {
    for failing in 0..4 {
        let mut expected = start_at(0x68)[..=failing].to_vec();
        expected[failing] = expected[failing].clone().with_error(MISSING);
        let mut bus = Mock::new(&expected);
        let mut camera = camera(&bus, 0.0, 40.0);
        let started = camera.start(&mut NoopDelay::new());
        assert_eq!(started, Err(CameraError::Bus(MISSING)));
        bus.done();
    }
    let seen = image([ROOM; PIXELS]).with_error(ErrorKind::ArbitrationLoss);
    let mut bus = Mock::new(&[seen]);
    let mut read = [2.0; PIXELS];
    let error = camera(&bus, 0.0, 40.0).read_image(&mut read);
    assert_eq!(error, Err(CameraError::Bus(ErrorKind::ArbitrationLoss)));
    assert_eq!(
        error.expect_err("above").to_string(),
        "thermal camera: bus: ArbitrationLoss"
    );
    assert_eq!(read, [2.0; PIXELS]);
    bus.done();
}

#[test]
fn temperatures_that_are_refused() {
    let mut bus = Mock::new(&[]);
    let mut new = |coldest, warmest| {
        let camera = Camera::new(&mut bus, Address::Low, coldest, warmest);
        camera.map(|_| ())
    };
    let wrong = [
        (20.0, 20.0),
        (35.0, 15.0),
        (-55.25, 20.0),
        (20.0, 125.5),
        (f32::NAN, 20.0),
        (20.0, f32::NAN),
        (20.0, f32::INFINITY),
        (f32::NEG_INFINITY, 20.0),
    ];
    for (coldest, warmest) in wrong {
        let error = new(coldest, warmest).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "expected the temperatures of black and white in -55.0..=125.0, in this order"
        );
    }
    assert_eq!(new(-55.0, 125.0), Ok(()));
    bus.done();
}

#[test]
fn samples_that_are_not_there() {
    let mut bus = Mock::new(&[]);
    let mut camera = camera(&bus, 0.0, 40.0);
    let mut labelled = camera.labelled(1);
    assert_eq!(labelled.len(), 1);
    let (mut input, mut values) = ([0.0; PIXELS + 1], [0.0; 2]);
    let mut target = Target::new(&mut values);
    for len in [0, PIXELS - 1, PIXELS + 1] {
        let found = labelled.read(0, &mut input[..len], &mut target);
        let length = Error::Length {
            buffer: Buffer::Input,
            expected: 64,
            found: len,
        };
        assert_eq!(found, Err(CameraError::Sample(length)));
    }
    let found = labelled.read(1, &mut input[..PIXELS], &mut target);
    let index = Error::Index { len: 1, found: 1 };
    assert_eq!(found, Err(CameraError::Sample(index)));
    assert_eq!(target.class(), None);
    assert_eq!(
        found.expect_err("above").to_string(),
        "thermal camera: expected a sample index below 1, found 1"
    );
    bus.done();
}

#[derive(Clone, Copy)]
struct Linear;

impl Model for Linear {
    const NET: Network = Network::input(8, 8, 1).flatten().dense(2);
}

const NET: Network = Linear::NET;

/// The weights after `learn`.
fn learned<E>(
    learn: impl FnOnce(&mut Trainer<'_, Linear, SoftmaxCrossEntropy, Sgd>) -> Result<(), E>,
) -> Result<[u32; NET.weights()], E> {
    let mut weights = [0.0; NET.weights()];
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut [0.0; NET.trainable_weights()],
        optimizer_state: &mut [],
        workspace: &mut [0.0; NET.training_workspace(1)],
    };
    let trainer = Trainer::new(Linear, SoftmaxCrossEntropy::new(), Sgd, memory);
    let mut trainer = trainer.expect("lengths");
    trainer.initialize(1).expect("lengths");
    learn(&mut trainer)?;
    Ok(weights.map(f32::to_bits))
}

/// Something warm of `quarters` of a degree in the rows above the middle, or below it, in a room of 15 °C.
fn warm(below: bool, quarters: u16) -> [u16; PIXELS] {
    std::array::from_fn(|pixel| if (pixel >= 32) == below { quarters } else { 60 })
}

/// What a camera from 15 to 35 °C makes of it: 80 quarters between black and white.
fn as_input(below: bool, quarters: u16) -> [f32; PIXELS] {
    warm(below, quarters).map(|quarters| f32::from(quarters - 60) / 80.0)
}

/// A network learns from the camera, beside what it saw before, with the bits of learning from the same images in memory.
#[test]
fn a_network_learns_what_the_camera_sees() {
    let shown: Vec<(bool, u16)> = (0..24).map(|n| (n % 2 == 1, 100 + 3 * (n / 2))).collect();
    let in_memory = learned(|trainer| {
        let mut memory = ReplayMemory::<f32, PIXELS, 8, 2>::new();
        let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
        for (below, quarters) in &shown {
            let input = as_input(*below, *quarters);
            let label = usize::from(*below);
            let mut mixed = Mixed::new(
                Sample {
                    input: &input,
                    label,
                },
                &mut replay,
            );
            let minibatch = mixed.minibatch([0, 0], 2);
            trainer.step(&mut mixed, minibatch, 0.2)?;
            replay.offer(&input, label).map_err(Error::widen)?;
        }
        Ok::<_, Error<Error<Error>>>(())
    });

    // A minibatch has what is seen now twice: both are read from the device.
    let seen = shown.iter().flat_map(|(below, quarters)| {
        let seen = image(warm(*below, *quarters));
        [seen.clone(), seen.clone(), seen]
    });
    let mut bus = Mock::new(&seen.collect::<Vec<_>>());
    let mut correct = 0;
    let from_camera = learned(|trainer| {
        let mut camera = camera(&bus, 15.0, 35.0);
        let mut memory = ReplayMemory::<f32, PIXELS, 8, 2>::new();
        let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
        for (below, _) in &shown {
            let label = usize::from(*below);
            let mut mixed = Mixed::new(camera.labelled(label), &mut replay);
            let minibatch = mixed.minibatch([0, 0], 2);
            let metrics = trainer.step(&mut mixed, minibatch, 0.2)?;
            correct = metrics.correct();
            let mut seen = [0.0; PIXELS];
            camera
                .read_image(&mut seen)
                .map_err(|error| Error::Dataset(Error::Dataset(error)))?;
            replay.offer(&seen, label).map_err(Error::widen)?;
        }
        Ok::<_, Error<Error<CameraError<ErrorKind>>>>(())
    });
    bus.done();
    assert_eq!(from_camera.expect("images"), in_memory.expect("images"));
    assert_eq!(correct, 4, "of the last minibatch");
}

/// What is wrong with an image stops the step, and says why.
#[test]
fn errors_reach_the_trainer() {
    let mut wrong = [ROOM; PIXELS];
    wrong[7] = 0x7ff;
    let failing = image([ROOM; PIXELS]).with_error(MISSING);
    let mut bus = Mock::new(&[failing, image(wrong), image([ROOM; PIXELS])]);
    let mut camera = camera(&bus, 15.0, 35.0);
    let mut step = |label| {
        let mut labelled: Labelled<'_, _> = camera.labelled(label);
        learned(|trainer| {
            trainer
                .step(&mut labelled, [0].into_iter(), 0.1)
                .map(|_| ())
        })
    };
    let pixel = CameraError::Pixel {
        pixel: 7,
        found: 0x7ff,
    };
    let label = Error::Label {
        sample: 0,
        classes: 2,
        found: 2,
    };
    assert_eq!(step(0), Err(Error::Dataset(CameraError::Bus(MISSING))));
    assert_eq!(step(0), Err(Error::Dataset(pixel)));
    assert_eq!(step(2), Err(label));
    bus.done();
}
