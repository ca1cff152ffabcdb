//! The memory planner on networks as people write them, and what runs a plan: a constant or a
//! value.

use host_tests::golden::relative_error;
use host_tests::lower_bound;
use host_tests::session::{Buffers, Run, Samples, infer, random_weights, values};
use host_tests::twin::{Objective, Twin};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::Sgd;
use lightlayers::paper::{Kind, cifar, mnist};
use lightlayers::{Inference, Model, Network, Trainer};

/// Networks as people write them need exactly the least memory, with or without a frozen base.
#[test]
fn typical_networks_waste_nothing() {
    let digits = Network::input(8, 8, 1).flatten();
    let networks = [
        digits.dense(10),
        digits.light_dense(10, 4),
        digits.light_dense(16, 3).relu().light_dense(10, 3),
        digits.light_dense(16, 6).relu().dense(10),
        digits
            .light_dense(24, 4)
            .relu()
            .dropout(0.2)
            .light_dense(16, 4)
            .tanh()
            .dense(10),
        digits
            .dense(32)
            .sigmoid()
            .dense(32)
            .sigmoid()
            .dense(10)
            .softmax(),
        digits
            .dense(100)
            .relu6()
            .dense(50)
            .leaky_relu(0.1)
            .dense(10),
        Network::features(784).light_dense(32, 4).relu().dense(10),
        Network::features(6)
            .dense(64)
            .relu()
            .dense(64)
            .relu()
            .dense(3),
        Network::features(1).dense(100).tanh().dense(1),
        digits.light_dense(16, 3).relu().all_frozen().dense(10),
        digits
            .dense(64)
            .tanh()
            .all_frozen()
            .dense(32)
            .relu()
            .dense(10),
    ];
    for net in networks {
        let name = format!(
            "{:?}",
            net.layers()
                .iter()
                .map(|layer| layer.op())
                .collect::<Vec<_>>()
        );
        assert_eq!(
            net.training_workspace(1),
            lower_bound::training(&net),
            "{name}"
        );
        assert_eq!(
            net.training_workspace(7),
            7 * net.training_workspace(1),
            "{name}"
        );
        assert_eq!(
            net.inference_workspace(),
            lower_bound::inference(&net),
            "{name}"
        );
    }
}

/// By hand, for 64 → light_dense(16, 6) → relu → dense(10), elements per sample.
///
/// Inference is at its peak in the last layer, 16 inputs and 10 outputs; before, 6 values between
/// the factors and 16 outputs are alive. Training is in front of the loss: the sample, 64, and the
/// vector between the factors, 6, wait for the first layer's gradients, a word of bits for the
/// ReLU's, and its 16 outputs for the last layer's; beside them are 10 logits and 10 targets.
#[test]
fn workspace_of_the_digits_by_hand() {
    let net = Network::features(64).light_dense(16, 6).relu().dense(10);
    assert_eq!(net.inference_workspace(), 16 + 10);
    assert_eq!(net.training_workspace(1), 64 + 6 + 1 + 16 + 10 + 10);
}

/// The paper's ablation: dense 784 → 10 at k = 1 has 794 weights without the bias, and as many
/// multiply-accumulates; 7,850 and 7,840 without factors.
#[test]
fn parameters_of_the_paper() {
    let input = Network::features(784);
    let thin = input.light_dense(10, 1).bias(false);
    assert_eq!((thin.weights(), thin.multiply_accumulates()), (794, 794));
    let full = input.dense(10);
    assert_eq!((full.weights(), full.multiply_accumulates()), (7850, 7840));
    let head = Network::features(32).light_dense(10, 8);
    assert_eq!(head.weights(), 32 * 8 + 8 * 10 + 10);
    assert_eq!(
        head.summary().to_string().matches("346").count(),
        3,
        "layer, total, trainable"
    );
}

/// By hand, for 4x4x1 → conv2d(2, 3) → relu → max_pool2d(2) → flatten → dense(3).
///
/// Both are at their peak in the forward pass of pooling, from 4x4x2 to 2x2x2. In training, the
/// image, 16, waits for the gradient of the kernel beside it, a word of bits for the ReLU's, two of
/// places for that of pooling, and the 3 targets for the loss.
#[test]
fn workspace_of_images_by_hand() {
    let net = Network::input(4, 4, 1).conv2d(2, 3).relu().max_pool2d(2);
    let net = net.flatten().dense(3);
    assert_eq!(net.inference_workspace(), 32 + 8);
    assert_eq!(net.training_workspace(1), 16 + 32 + 8 + 1 + 2 + 3);
}

/// Training needs exactly the least memory, inference at most an eighth more: after a residual block
/// the pooled image lies beside a gap.
#[test]
fn networks_of_the_paper_waste_little() {
    let kinds = [
        Kind::Conv2d,
        Kind::SeparableConv2d,
        Kind::Light { rank: 1 },
        Kind::Light { rank: 5 },
    ];
    for kind in kinds {
        for net in [mnist(kind), cifar(kind, 10)] {
            assert_eq!(
                net.training_workspace(1),
                lower_bound::training(&net),
                "{kind:?}"
            );
            let (planned, least) = (net.inference_workspace(), lower_bound::inference(&net));
            assert!(
                planned >= least && planned <= least + least / 8,
                "{planned} of {least}"
            );
        }
    }
}

struct Everything;

impl Model for Everything {
    const NET: Network = Network::input(3, 4, 2)
        .softmax()
        .flatten()
        .dropout(0.2)
        .light_dense(17, 3)
        .l2(0.01)
        .relu()
        .dense(9)
        .frozen()
        .relu6()
        .dense(12)
        .leaky_relu(0.2)
        .dense(8)
        .tanh()
        .light_dense(6, 2)
        .bias(false)
        .sigmoid();
}

/// A constant network links only its own layers, and has tables of its own; the bits are those of a
/// plan that was made at run time.
#[test]
fn a_constant_network_and_a_plan_agree() {
    let net = Everything::NET;
    let weights = random_weights(&net, 1);
    let samples = Samples::classes(&net, 9, 2);
    let run = Run {
        batch: 9,
        capacity: 4,
        steps: 3,
        rate: 0.1,
        dropout_seed: 3,
    };
    let planned = run.train(&net, MeanSquaredError, Sgd, &weights, &samples);

    let mut buffers = Buffers::new::<Sgd>(&net, &weights, 4);
    let trainer = Trainer::new(Everything, MeanSquaredError, Sgd, buffers.memory());
    let mut trainer = trainer.unwrap().with_dropout_seed(3);
    for step in &planned {
        let metrics = trainer.step(&mut samples.clone(), 0..9, 0.1).unwrap();
        assert_eq!(metrics.loss(), step.loss);
        assert_eq!(trainer.weights(), step.weights);
    }

    let x = values(24 * 5, 1.0, 4);
    let mut workspace = vec![f32::NAN; 5 * net.inference_workspace()];
    let mut inference = Inference::new(Everything, &weights, &mut workspace).unwrap();
    let expected = infer(&net, &weights, &x, 2);
    let outputs = x.chunks(24).map(|x| inference.run(x).unwrap().to_vec());
    assert_eq!(outputs.collect::<Vec<_>>().concat(), expected);
}

/// The longest network: its tables are full.
#[test]
fn sixty_four_layers() {
    let net = (0..31).fold(Network::features(4).dense(3), |net, _| net.dense(3).tanh());
    let net = net.dense(2);
    assert_eq!(net.len(), 64);
    assert_eq!(net.training_workspace(1), lower_bound::training(&net));
    let weights = random_weights(&net, 1);
    let samples = Samples::classes(&net, 8, 2);
    let found = Run::default().train(&net, MeanSquaredError, Sgd, &weights, &samples);
    let twin = Twin::new(&net, &weights);
    let (x, target) = (samples.inputs(), samples.targets(2));
    let gradients = twin.gradients(Objective::SquaredError, &x, &target);
    assert!(relative_error(&found[0].gradients, &gradients) <= 1e-4);
}
