//! Damaged and hostile files: an error for each of them, a panic for none.

use host_tests::golden::relative_error;
use host_tests::model_file::{Placed, quantized, seal, written, written_quantized};
use host_tests::session::{Buffers, Samples, infer, random_weights, try_infer, values};
use host_tests::twin::{Objective, Twin};
use lightlayers::file::{FileError, Reader, SectionKind, TrainingState, Writer};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::{Momentum, Sgd};
use lightlayers::quant::Int8Inference;
use lightlayers::{BuildError, Error, MAX_ELEMENTS, Model, Network, Plan, Rng, Trainer};

use crate::{XOR_WEIGHTS, Xor};

fn xor() -> Placed {
    written(&Xor::NET, &XOR_WEIGHTS)
}

/// A block, a window, a batch normalization, and the state of an optimizer.
fn rich() -> (Network, Placed) {
    let net = Network::input(4, 4, 1).conv2d(2, 3).batch_norm();
    let net = net.residual(net.relu().conv2d(2, 1), net).max_pool2d(2);
    let net = net.flatten().dropout(0.5).light_dense(2, 1).leaky_relu(0.5);
    let weights = random_weights(&net, 1);
    let plan = Plan::new(&net);
    let optimizer_state = values(net.trainable_weights(), 1.0, 2);
    let writer = Writer::new(&plan, &weights).unwrap();
    let writer = writer.with_state(TrainingState {
        steps: 3,
        optimizer_state: &optimizer_state,
    });
    let bytes: Vec<u8> = writer.unwrap().blocks().flatten().collect();
    (net, Placed::new(&bytes, 0))
}

/// A quantized network: both ways in which a convolution lies in memory, and every layer that has words of its own.
fn quantized_rich() -> (Network, Placed) {
    let net = Network::input(4, 4, 1).conv2d(2, 3).relu();
    let net = net.residual(net.conv2d(2, 3).relu().depthwise_conv2d(3, 1), net);
    let net = net.max_pool2d(2).leaky_relu(0.5).global_average_pool();
    let net = net.dense(3).softmax();
    let words = quantized(&net, &random_weights(&net, 1));
    (net, written_quantized(&net, &words))
}

fn error(bytes: &[u8]) -> FileError {
    Reader::new(bytes).map(|_| ()).unwrap_err()
}

/// Whatever the checksum covers, it covers; the header says the rest itself.
#[test]
fn every_bit_flip_is_noticed() {
    for mut file in [xor(), rich().1, quantized_rich().1] {
        for bit in 0..8 * file.bytes().len() {
            let flip = |file: &mut Placed| file.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
            flip(&mut file);
            let found = error(file.bytes());
            let expected = match bit / 8 {
                0..4 => matches!(found, FileError::Magic { .. }),
                4..6 => matches!(found, FileError::Version { .. }),
                6..8 => matches!(found, FileError::Section { section: None, .. }),
                8..12 => matches!(found, FileError::Length { .. }),
                _ => matches!(found, FileError::Checksum { .. }),
            };
            assert!(expected, "bit {bit}: {found:?}");
            flip(&mut file);
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for whole in [xor(), rich().1, quantized_rich().1] {
        let bytes = whole.bytes();
        for len in 0..bytes.len() {
            let expected = if len < 16 { 16 } else { bytes.len() };
            let found = len;
            assert_eq!(error(&bytes[..len]), FileError::Length { expected, found });
        }
        let longer = [bytes, &[0]].concat();
        assert!(matches!(error(&longer), FileError::Length { .. }));
    }
}

/// Everything that a user can ask of a file. Of a network that can be built, everything fits.
fn use_all(bytes: &[u8], of: &Network) -> Result<(), FileError> {
    let file = Reader::new(bytes)?;
    let of = Plan::new(of);
    let _ = file.weights(&of);
    let _ = file.quantized_weights(&of);
    let _ = file.training_state::<Momentum>(&of);
    let net = file.network()?;
    let plan = Plan::new(&net);
    if file.weights_kind() == SectionKind::QUANTIZED_WEIGHTS {
        return use_quantized(bytes, &plan, file.quantized_weights(&plan)?);
    }
    let weights = file.weights(&plan).expect("of its own network");
    let x = values(net.input_shape().len(), 1.0, 1);
    match try_infer(&net, weights, &x, 1) {
        Ok(outputs) => assert_eq!(outputs.len(), net.output_shape().len()),
        // Weights may be anything.
        error => assert_eq!(error, Err(Error::NonFiniteOutput)),
    }
    // Two samples at once, for a batch normalization that learns.
    let mut buffers = Buffers::new::<Sgd>(&net, weights, 2);
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).unwrap();
    // The weights may be so large that the loss is not finite, but that is all that can be wrong.
    let outputs = values(net.output_shape().len(), 1.0, 2);
    let mut samples = Samples::from_rows(&x, &outputs, 1);
    let trained = trainer.step(&mut samples, [0, 0].into_iter(), 0.1);
    assert!(matches!(trained, Ok(_) | Err(Error::NonFinite { .. })));
    // What was read is what is written.
    let table = 16..48 + 32 * net.len();
    let rewritten = written(&net, weights);
    assert_eq!(rewritten.bytes()[28..table.end], bytes[28..table.end]);
    Ok(())
}

/// Any words are run.
fn use_quantized(bytes: &[u8], plan: &Plan, words: &[u32]) -> Result<(), FileError> {
    let net = plan.network();
    let mut workspace = vec![0; net.quantized_workspace()];
    let mut inference = match Int8Inference::new(plan, words, &mut workspace) {
        Err(Error::Unquantizable { .. }) => return Ok(()),
        inference => inference.expect("of its own network"),
    };
    let mut input = vec![0; net.input_shape().len()];
    let x = values(input.len(), 1.0, 1);
    let outputs = inference.run_real(&x, &mut input).expect("a sample");
    assert_eq!(outputs.len(), net.output_shape().len());
    for tensor in 0..=net.len() {
        assert!(inference.quantization(tensor).unwrap().scale() > 0.0);
    }
    // What was read is what is written.
    let rewritten = written_quantized(net, words);
    let table = 28..48 + 32 * net.len();
    let data = table.end + 16..table.end + 16 + 4 * words.len();
    for range in [table, data] {
        assert_eq!(rewritten.bytes()[range.clone()], bytes[range]);
    }
    Ok(())
}

/// With a checksum that fits, a flipped bit is refused, or a file of another network, which runs.
#[test]
fn every_bit_flip_under_a_checksum_that_fits() {
    let (rich_net, rich) = rich();
    for (net, mut file) in [(Xor::NET, xor()), (rich_net, rich)] {
        let mut accepted = 0;
        for bit in 8 * 16..8 * file.bytes().len() {
            let flip = |file: &mut Placed| file.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
            flip(&mut file);
            seal(file.bytes_mut());
            if use_all(file.bytes(), &net).is_ok() {
                accepted += 1;
            }
            flip(&mut file);
        }
        seal(file.bytes_mut());
        assert_eq!(use_all(file.bytes(), &net), Ok(()));
        // Weights and state, and not all of the rest.
        assert!(accepted >= 32 * net.weights() && accepted < 8 * file.bytes().len() - 500);
    }
}

/// The same of a quantized network. Of its words, the heads of tensors are known to be sound.
#[test]
fn every_bit_flip_of_a_quantized_network_under_a_checksum_that_fits() {
    let (net, mut file) = quantized_rich();
    let words = 64 + 32 * net.len();
    let end = words + 4 * net.quantized_weights();
    let mut accepted = 0;
    for bit in 8 * 16..8 * file.bytes().len() {
        let flip = |file: &mut Placed| file.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
        flip(&mut file);
        seal(file.bytes_mut());
        let used = use_all(file.bytes(), &net);
        accepted += usize::from(used.is_ok());
        let bad_head = matches!(used, Err(FileError::Tensor { .. }));
        assert!(!bad_head || (8 * words..8 * end).contains(&bit), "{used:?}");
        flip(&mut file);
    }
    seal(file.bytes_mut());
    assert_eq!(use_all(file.bytes(), &net), Ok(()));
    let heads = 2 * (net.len() + 1);
    assert!(accepted >= 32 * (net.quantized_weights() - heads));
    assert!(accepted < 8 * file.bytes().len() - 500);
}

/// A section that is cut off, under a length and a checksum that fit.
#[test]
fn every_truncation_under_a_checksum_that_fits() {
    for (net, whole) in [(Xor::NET, xor()), rich(), quantized_rich()] {
        for blocks in 1..whole.bytes().len() / 16 {
            let mut file = Placed::new(&whole.bytes()[..16 * blocks], 0);
            seal(file.bytes_mut());
            let used = use_all(file.bytes(), &net);
            // Without the last section the file of the larger network is whole.
            let without_state = blocks == lightlayers::file::size(&net, None) / 16
                && whole.bytes().len() != lightlayers::file::quantized_size(&net);
            assert_eq!(used.is_ok(), without_state, "{blocks} blocks: {used:?}");
        }
    }
}

/// Changes the file of Xor; its length and checksum fit.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Placed {
    let mut bytes = xor().bytes().to_vec();
    change(&mut bytes);
    seal(&mut bytes);
    Placed::new(&bytes, 0)
}

const TABLE: usize = 32;
const ENTRIES: usize = TABLE + 16;
const WEIGHTS: usize = ENTRIES + 3 * 32;

#[test]
fn sections() {
    let unknown = |required: u8| {
        let section = [*b"INT8", [5, 0, 0, 0], [required, 0, 0, 0], [0; 4]];
        let data = [7; 16];
        changed(|bytes| bytes.extend(section.iter().flatten().chain(&data)))
    };
    let skipped = unknown(0);
    let file = Reader::new(skipped.bytes()).unwrap();
    assert_eq!(file.weights(Xor), Ok(&XOR_WEIGHTS[..]));
    let section = SectionKind(*b"INT8");
    assert_eq!(error(unknown(1).bytes()), FileError::Unknown { section });

    let message = |change: &dyn Fn(&mut Vec<u8>)| error(changed(change).bytes()).to_string();
    let texts = [
        message(&|bytes| bytes.truncate(WEIGHTS)),
        message(&|bytes| drop(bytes.drain(16..WEIGHTS))),
        message(&|bytes| bytes.extend_from_within(WEIGHTS..)),
        message(&|bytes| bytes[WEIGHTS + 4] += 4),
        message(&|bytes| bytes[WEIGHTS + 7] = 0xff),
        message(&|bytes| bytes[WEIGHTS + 8] = 2),
        message(&|bytes| bytes[WEIGHTS + 12] = 2),
        message(&|bytes| bytes[TABLE + 7] = 0),
        message(&|bytes| bytes[TABLE + 7] = 65),
        message(&|bytes| bytes[TABLE + 7] = 2),
        message(&|bytes| bytes[TABLE + 6] = 2),
        message(&|bytes| {
            bytes.truncate(ENTRIES);
            bytes[20] = 8;
        }),
        message(&|bytes| bytes.push(0)),
    ];
    assert_eq!(
        texts,
        [
            "model file: expected a section WF32 or WQI8, found neither",
            "model file: section LAYR: expected one, found none",
            "model file: section WF32: expected one, found two",
            "model file: section WF32: expected bytes 36, found 40",
            "model file: section WF32: expected bytes 4278190116, found 48",
            "model file: section WF32: expected bytes 8 to 11 at most 1, found 2",
            "model file: section WF32: expected bytes 12 to 15 0, found 2",
            "model file: section LAYR: expected layers, 1 to 64, found 0",
            "model file: section LAYR: expected layers, 1 to 64, found 65",
            "model file: section LAYR: expected bytes of layers 64, found 96",
            "model file: section LAYR: expected byte 6 at most 1, found 2",
            "model file: section LAYR: expected bytes 16, found 8",
            "model file: header: expected a length in blocks of 16, found 209",
        ]
    );
}

#[test]
fn headers() {
    let texts = [
        error(b"").to_string(),
        error(b"PK\x03\x04............").to_string(),
        error(&[b"LLNN\x02\0".as_slice(), &[0; 10]].concat()).to_string(),
        {
            let mut file = xor();
            file.bytes_mut()[100] ^= 1;
            let crc = crc32(&file.bytes()[16..]);
            let text = error(file.bytes()).to_string();
            text.replace(&format!("{crc:08x}"), "another one")
        },
    ];
    assert_eq!(
        texts,
        [
            "model file: expected bytes 16, found 0",
            "model file: expected the first bytes LLNN, found PK??",
            "model file: expected version 1, found 2",
            "model file: expected the CRC-32 5af6ff53, found another one: the file is damaged",
        ]
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut file = vec![0; 16];
    file.extend_from_slice(bytes);
    seal(&mut file);
    u32::from_le_bytes(file[12..16].try_into().unwrap())
}

/// The error of building the network of a changed table, which is also that of Xor no more.
fn table_error(change: impl FnOnce(&mut Vec<u8>)) -> FileError {
    let placed = changed(change);
    let file = Reader::new(placed.bytes()).unwrap();
    assert!(file.weights(Xor).is_err());
    file.network().unwrap_err()
}

#[test]
fn layers_that_cannot_be() {
    let second = ENTRIES + 32;
    let texts = [
        table_error(|bytes| bytes[second] = 0),
        table_error(|bytes| bytes[second] = 23),
        table_error(|bytes| bytes[second + 1] = 1),
        table_error(|bytes| bytes[second + 4] = 2),
        table_error(|bytes| bytes[second + 10] = 2),
        table_error(|bytes| bytes[ENTRIES + 1] = 2),
        table_error(|bytes| bytes[ENTRIES + 8] = 0),
        table_error(|bytes| bytes[TABLE + 12] = 1),
        table_error(|bytes| bytes[TABLE] = 2),
    ]
    .map(|error| error.to_string());
    assert_eq!(
        texts,
        [
            "model file: layer 1: expected another layer than 0",
            "model file: layer 1: expected another layer than 23",
            "model file: layer 1: relu: has no bias",
            "model file: layer 1: expected another output than 2x1x2",
            "model file: layer 1: expected another rank than 2",
            "model file: layer 0: expected another bias than 2",
            "model file: layer 0: dense: units is 0, expected at least 1",
            "model file: expected number of moving statistics 0, found 1",
            "model file: layer 0: dense: expected a flat input, found 2x1x2; call flatten() before it",
        ]
    );
    let error = table_error(|bytes| bytes[second] = 11);
    assert!(
        matches!(
            error,
            FileError::Build {
                layer: 1,
                error: BuildError::NotImage { .. }
            }
        ),
        "{error:?}"
    );
}

/// Tables whose sizes overflow any number that holds them.
#[test]
fn sizes_that_no_target_has() {
    let huge = [0xff; 6];
    // 65,535 x 65,535 x 65,535 inputs into a convolution with a window of 255 x 255.
    let error = table_error(|bytes| {
        bytes[TABLE..TABLE + 6].copy_from_slice(&huge);
        bytes[TABLE + 6] = 0;
        bytes[ENTRIES] = 12;
        bytes[ENTRIES + 4..ENTRIES + 10].copy_from_slice(&huge);
        bytes[ENTRIES + 10..ENTRIES + 18].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1]);
    });
    let too_large = |what, found: u64| BuildError::TooLarge {
        layer: "input",
        what,
        most: MAX_ELEMENTS,
        found: usize::try_from(found).unwrap_or(usize::MAX),
    };
    let expected = too_large("the number of values", 65_535_u64.pow(3));
    assert_eq!(
        error,
        FileError::Build {
            layer: 0,
            error: expected
        }
    );
}

/// Sizes that only the quantized network has: the rows that a window with wide gaps reaches over.
#[test]
fn scratch_that_no_target_has() {
    let net = Network::input(1, 1, 65_535).conv2d(1, 1).dilation(255);
    let mut file = written(&net, &random_weights(&net, 1));
    let network = |file: &Placed| Reader::new(file.bytes()).unwrap().network().map(|_| ());
    assert_eq!(network(&file), Ok(()));
    // A window of 2 x 2 elements reaches over 256 rows of 256 columns.
    file.bytes_mut()[ENTRIES + 12..ENTRIES + 14].fill(2);
    // More weights than are in the file, but the layer is refused before they are counted.
    seal(file.bytes_mut());
    let error = BuildError::TooLarge {
        layer: "conv2d",
        what: "the network's workspace for int8 inference",
        most: MAX_ELEMENTS,
        found: 256 * 256 * 65_535 / 2 + 1,
    };
    assert_eq!(network(&file), Err(FileError::Build { layer: 0, error }));
}

/// A file of relus over two values whose layers read these tensors; additions read two.
fn relus(reads: &[&[u8]]) -> Result<Network, FileError> {
    let chain = (0..reads.len()).fold(Network::features(2), |net, _| net.relu());
    let placed = reading(&chain, &[], reads);
    Reader::new(placed.bytes())?.network()
}

#[test]
fn tensors_that_cannot_be_read() {
    let reads = |layer, found| FileError::Reads { layer, found };
    let unread = |layer| FileError::Unread { layer };
    let cases: [(&[&[u8]], FileError); 9] = [
        (&[&[1]], reads(0, 1)),
        (&[&[0], &[2]], reads(1, 2)),
        (&[&[255]], reads(0, 255)),
        (&[&[0], &[1, 200]], reads(1, 200)),
        (&[&[0], &[200, 1]], reads(1, 200)),
        (&[&[0], &[1, 1]], reads(1, 1)),
        (&[&[0], &[0]], unread(0)),
        (&[&[0], &[1], &[1]], unread(1)),
        (&[&[0], &[0], &[1, 0]], unread(1)),
    ];
    for (reads, expected) in cases {
        assert_eq!(relus(reads).map(|_| ()), Err(expected), "{reads:?}");
    }
    let texts = [reads(3, 9), unread(2)].map(|error| error.to_string());
    assert_eq!(
        texts,
        [
            "model file: layer 3: expected another tensor to read than 9",
            "model file: layer 2: expected a layer that reads its output, found none",
        ]
    );
}

/// Layers that read any tensors before them, more freely than builder calls let them: the outputs and gradients of the reference.
#[test]
fn any_tensors_that_are_read_are_planned() {
    let mut rng = Rng::new(1);
    for case in 0..300 {
        let mut below = |limit: usize| (rng.uniform() * limit as f32) as usize % limit;
        let layers = 2 + below(9);
        let mut reads: Vec<Vec<u8>> = Vec::new();
        let mut chain = Network::input(1, 2, 3);
        for layer in 0..layers {
            let source = below(layer + 1) as u8;
            let mut own = vec![source];
            chain = match below(6) {
                0 => chain.conv2d(3, 1),
                1 => chain.tanh(),
                2 => chain.batch_norm(),
                3 => chain.leaky_relu(0.5),
                _ if layer > 0 => {
                    own.push((source + 1 + below(layer) as u8) % (layer as u8 + 1));
                    chain.relu()
                }
                _ => chain.light_conv2d(3, 1, 2),
            };
            reads.push(own);
        }
        // The tensors that nobody reads are added up.
        let is_read = |reads: &[Vec<u8>], tensor: u8| reads.iter().flatten().any(|r| *r == tensor);
        let unread = (1..layers as u8).filter(|tensor| !is_read(&reads, *tensor));
        for tensor in unread.collect::<Vec<_>>() {
            reads.push(vec![reads.len() as u8, tensor]);
            chain = chain.relu();
        }
        let weights = random_weights(&chain, case);
        let reads: Vec<&[u8]> = reads.iter().map(Vec::as_slice).collect();
        let placed = reading(&chain, &weights, &reads);
        let net = Reader::new(placed.bytes()).unwrap().network();
        let net = net.unwrap_or_else(|error| panic!("{reads:?}: {error}"));

        let twin = Twin::new(&net, &weights);
        let samples = Samples::from_rows(&values(12, 1.0, case), &values(12, 1.0, case + 1), 2);
        let close = |found: &[f32], expected: &[f64]| {
            assert!(relative_error(found, expected) <= 1e-4, "{reads:?}");
        };
        let x: Vec<f32> = samples.0.iter().flat_map(|(x, _)| x.clone()).collect();
        let outputs = twin.outputs(&samples.inputs()).into_raw_vec_and_offset().0;
        close(&infer(&net, &weights, &x, 1), &outputs);

        let mut buffers = Buffers::new::<Sgd>(&net, &weights, 2);
        let plan = Plan::new(&net);
        let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).unwrap();
        trainer.step(&mut samples.clone(), 0..2, 0.0).unwrap();
        let targets = samples.targets(6);
        let gradients = twin.gradients(Objective::SquaredError, &samples.inputs(), &targets);
        close(trainer.gradients(), &gradients);
    }
}

/// The file of a chain, with other tensors read; a relu that reads two becomes an addition.
fn reading(chain: &Network, weights: &[f32], reads: &[&[u8]]) -> Placed {
    let mut file = written(chain, weights);
    let entries = file.bytes_mut()[ENTRIES..].chunks_exact_mut(32);
    for (entry, reads) in entries.zip(reads) {
        entry[2] = reads[0];
        if let [_, second] = **reads {
            (entry[0], entry[3]) = (21, second);
        }
    }
    seal(file.bytes_mut());
    file
}
