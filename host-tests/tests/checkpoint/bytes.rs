//! The bytes of a slot, put together by hand from the format's page.

use host_tests::flash::SimulatedFlash;
use host_tests::model_file::Placed;
use lightlayers::checkpoint::{self, CheckpointStore, Snapshot};
use lightlayers::file::{Reader, TrainingState, Writer};
use lightlayers::optim::{Adam, HeavyBall, Momentum, Sgd};
use lightlayers::{Model, Network};

struct Sum;

impl Model for Sum {
    const NET: Network = Network::features(2).dense(1).bias(false);
}

const SNAPSHOT: Snapshot<'static> = Snapshot {
    weights: &[1.0, -1.0],
    optimizer_state: &[0.5, 0.25],
    gradients: None,
    steps: 0x0102_0304,
    dropout_seed: 0x1112_1314_1516_1718,
    user_data: *b"what the user wants to see again",
};

fn file(gradients: Option<&[f32]>) -> Vec<u8> {
    let writer = Writer::new(Sum, SNAPSHOT.weights).unwrap();
    let state = TrainingState {
        steps: SNAPSHOT.steps,
        optimizer_state: SNAPSHOT.optimizer_state,
    };
    let writer = writer.with_state(state).unwrap();
    let writer = match gradients {
        Some(gradients) => writer.with_gradients(gradients).unwrap(),
        None => writer,
    };
    writer.blocks().flatten().collect()
}

#[test]
fn a_slot_is_the_one_made_by_hand() {
    let mut flash = SimulatedFlash::<16, 512>::new(4, 1);
    let mut store = CheckpointStore::new(&mut flash, 512..1536, 2).unwrap();
    store.save(Sum, &SNAPSHOT).unwrap();
    let saved = store.save(Sum, &SNAPSHOT).unwrap();
    assert_eq!((saved.sequence, saved.steps), (1, SNAPSHOT.steps));

    let file = file(None);
    assert_eq!(saved.file, 1024..1024 + file.len() as u32);
    let mut expected = vec![0xff; 512];
    expected[..file.len()].copy_from_slice(&file);
    expected[512 - 16..].copy_from_slice(b"LLC1 is complete");
    let record = &mut expected[512 - 80..512 - 16];
    record[..4].copy_from_slice(b"LLC1");
    record[4..8].copy_from_slice(&[1, 0, 0, 0]);
    record[8..16].copy_from_slice(&[0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
    record[16..20].copy_from_slice(&[4, 3, 2, 1]);
    record[20..24].copy_from_slice(&[file.len() as u8, 0, 0, 0]);
    record[24..28].copy_from_slice(&crc32fast::hash(&file[16..]).to_le_bytes());
    record[28..60].copy_from_slice(b"what the user wants to see again");
    let checksum = crc32fast::hash(&record[..60]);
    record[60..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(flash.bytes()[1024..1536], expected);
}

/// What a host does with a dump of the flash memory, and firmware whose flash memory is mapped.
#[test]
fn a_slot_is_a_model_file() {
    let gradients = [3.0, 4.0];
    let snapshot = Snapshot {
        gradients: Some(&gradients),
        ..SNAPSHOT
    };
    let mut flash = SimulatedFlash::<4, 512>::new(2, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..1024, 2).unwrap();
    let saved = store.save(Sum, &snapshot).unwrap();
    let range = saved.file.start as usize..saved.file.end as usize;
    let bytes = &flash.bytes()[range];
    assert_eq!(bytes, file(Some(&gradients)));

    // GRAD, 8 bytes, may be skipped.
    let section = [
        *b"GRAD",
        [8, 0, 0, 0],
        [0; 4],
        [0; 4],
        [0, 0, 0x40, 0x40],
        [0, 0, 0x80, 0x40],
        [0; 4],
        [0; 4],
    ];
    assert!(bytes.ends_with(section.as_flattened()));

    let placed = Placed::new(bytes, 0);
    let file = Reader::new(placed.bytes()).unwrap();
    assert_eq!(file.weights(Sum), Ok(SNAPSHOT.weights));
    assert_eq!(file.gradients(Sum), Ok(Some(&gradients[..])));
    let state = file.training_state::<Momentum>(Sum).unwrap().unwrap();
    assert_eq!(state.optimizer_state, SNAPSHOT.optimizer_state);
    assert_eq!(state.steps, SNAPSHOT.steps);
    assert_eq!(file.network().unwrap().weights(), 2);
}

#[test]
fn sizes() {
    let net = &Sum::NET;
    // Header 16, layers 16 + 16 + 32, weights 16 + 16, optimizer 16 + 16, in blocks 16 for its 2 to 4 numbers.
    assert_eq!(file(None).len(), 160);
    type Words<const WRITE: usize, const ERASE: usize> = SimulatedFlash<WRITE, ERASE>;
    assert_eq!(
        checkpoint::slot_size::<Words<4, 32>, Momentum>(net),
        160 + 80 + 16
    );
    assert_eq!(checkpoint::slot_size::<Words<4, 16>, Adam>(net), 160 + 80);
    assert_eq!(checkpoint::slot_size::<Words<4, 16>, Sgd>(net), 144 + 80);
    // With gradients, 16 + 16.
    assert_eq!(
        checkpoint::slot_size::<Words<4, 16>, HeavyBall>(net),
        176 + 80
    );
    assert_eq!(
        checkpoint::slot_size::<Words<128, 128>, Adam>(net),
        256 + 128 + 128
    );
    assert_eq!(
        checkpoint::slot_size::<Words<256, 256>, Adam>(net),
        256 + 256 + 256
    );
    assert_eq!(checkpoint::slot_size::<Words<256, 4096>, Adam>(net), 4096);
}
