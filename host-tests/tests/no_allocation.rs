//! The library allocates nothing: an allocator that counts what a thread asks for while it is
//! watched.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};

use host_tests::flash::SimulatedFlash;
use lightlayers::checkpoint::{CheckpointStore, USER_DATA};
use lightlayers::dataset::{
    Holdout, Mixed, PackedImages, ReplayBuffer, ReplayMemory, Sample, Selection,
};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::metrics::ConfusionMatrix;
use lightlayers::optim::{Adam, ClipNorm, Sgd};
use lightlayers::quant::{
    Calibration, Comparison, Int8Inference, Quantization, RangeMethod, TensorError, TensorRange,
    quantize,
};
use lightlayers::schedule::{Cosine, EarlyStopping, ReduceOnPlateau};
use lightlayers::{Epoch, Inference, Memory, Model, Network, Plan, Trainer};

thread_local! {
    /// Requests while watched; none while not.
    static REQUESTS: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    REQUESTS.set(REQUESTS.get().map(|requests| requests + 1));
}

// SAFETY: every call is handed to the system's allocator as it is. Counting allocates nothing: the
// counter is a constant-initialized thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` returns, and how often it turned to the allocator.
fn watched<T>(work: impl FnOnce() -> T) -> (T, usize) {
    REQUESTS.set(Some(0));
    let result = work();
    let requests = REQUESTS.take().expect("watched until here");
    (result, requests)
}

/// Text in a fixed buffer.
struct Page {
    bytes: [u8; 4096],
    len: usize,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes[self.len..].get_mut(..text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

struct Digits;

impl Model for Digits {
    const NET: Network = Network::input(8, 8, 1)
        .flatten()
        .light_dense(24, 4)
        .l2(1e-4)
        .relu()
        .dropout(0.1)
        .dense(40)
        .frozen()
        .sigmoid()
        .dense(10);
}

const NET: Network = Digits::NET;

/// Too small for threads: rayon, which starts them, allocates.
struct Images;

impl Model for Images {
    const NET: Network = {
        let net = Network::input(8, 8, 1).average_pool2d(2).zero_padding2d(1);
        let net = net.conv2d(4, 3).batch_norm().relu();
        let body = net.light_conv2d(4, 3, 1).batch_norm();
        let net = net.residual(body, net).max_pool2d(2);
        let net = net.separable_conv2d(3, 3).dropout(0.1).softmax();
        net.depthwise_conv2d(2, 1).global_average_pool().dense(10)
    };
}

static DIGITS: &[u8] = include_bytes!("../../examples/data/digits.bin");

#[test]
fn an_allocation_is_seen() {
    assert_eq!(watched(|| ()), ((), 0));
    assert_eq!(watched(|| drop(std::hint::black_box(Box::new(1)))).1, 2);
    let mut values = vec![1];
    assert_eq!(watched(|| values.reserve_exact(100)).1, 1);
}

/// Everything that firmware does: train, evaluate, schedule, keep the best weights, infer, print.
#[test]
fn the_library_allocates_nothing() {
    let mut page = Page {
        bytes: [0; 4096],
        len: 0,
    };
    let (result, requests) = watched(|| use_everything(&mut page));
    assert_eq!((result, requests), (Ok(()), 0));
    let text = std::str::from_utf8(&page.bytes[..page.len]).expect("text");
    for part in [
        "light_dense",
        "(frozen)",
        "recall",
        "expected a label below",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Checkpoints of a session, there and back.
#[test]
fn checkpoints_allocate_nothing() {
    let mut flash = SimulatedFlash::<4, 4096>::new(16, 1);
    let memory = Memory {
        weights: &mut [0.5; NET.weights()],
        gradients: &mut [0.0; NET.trainable_weights()],
        optimizer_state: &mut [0.0; NET.optimizer_state::<Adam>()],
        workspace: &mut [0.0; NET.training_workspace(1)],
    };
    let result = watched(|| {
        let mut store = CheckpointStore::new(&mut flash, 0..65536, 2).ok()?;
        let mut trainer =
            Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory).ok()?;
        let saved = trainer.save(&mut store, [1; USER_DATA]).ok()?;
        let found = trainer.restore(&mut store).ok()??;
        Some(saved == found)
    });
    assert_eq!(result, (Some(true), 0));
}

/// As [`the_library_allocates_nothing`], with layers of images.
#[test]
fn networks_of_images_allocate_nothing() {
    assert_eq!(watched(use_images), (Ok(()), 0));
}

/// Calibration, quantization, inference and comparison: a chip can do them all.
#[test]
fn quantized_networks_allocate_nothing() {
    assert_eq!(watched(use_quantized), (Ok(()), 0));
}

/// Learning beside old samples, while the buffer fills and after it is full.
#[test]
fn replay_allocates_nothing() {
    assert_eq!(watched(use_replay), (Ok(()), 0));
}

fn use_replay() -> Result<(), &'static str> {
    const NET: Network = Digits::NET;
    let memory = Memory {
        weights: &mut [0.0; NET.weights()],
        gradients: &mut [0.0; NET.trainable_weights()],
        optimizer_state: &mut [],
        workspace: &mut [0.0; NET.training_workspace(1)],
    };
    let trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Sgd, memory);
    let mut trainer = trainer.or(Err("trainer"))?;
    trainer.initialize(1).or(Err("initialize"))?;
    let mut memory = ReplayMemory::<u8, 64, 20, 10>::new();
    let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
    for step in 0..60 {
        let (input, label) = ([step as f32 / 60.0; 64], step % 10);
        let sample = Sample {
            input: &input,
            label,
        };
        let mut mixed = Mixed::new(sample, &mut replay);
        let minibatch = mixed.minibatch([0], 3);
        trainer.step(&mut mixed, minibatch, 0.1).or(Err("step"))?;
        replay.offer(&input, label).or(Err("offer"))?;
    }
    let full = replay.offered() == 60 && (0..10).all(|label| replay.kept(label) == 2);
    full.then_some(()).ok_or("two of each class")
}

/// Every layer that is quantized, and the split of one that is not.
const LIGHT: Network = {
    let net = Network::input(8, 8, 1).average_pool2d(2).zero_padding2d(1);
    let net = net.conv2d(4, 3).relu();
    let body = net.light_conv2d(4, 3, 1).depthwise_conv2d(3, 1);
    let net = net.residual(body, net).leaky_relu(0.1).max_pool2d(2);
    let net = net.separable_conv2d(3, 3).dropout(0.1).sigmoid();
    net.global_average_pool().light_dense(10, 2).softmax()
};

struct Quantized;

impl Model for Quantized {
    const NET: Network = LIGHT.split_factors();
}

fn use_quantized() -> Result<(), &'static str> {
    const NET: Network = Quantized::NET;
    const TENSORS: usize = NET.len() + 1;
    let mut weights = [0.0; NET.weights()];
    LIGHT.initialize(&mut weights, 1).or(Err("initialize"))?;
    LIGHT.split_factors_weights(&mut weights).or(Err("split"))?;
    let digits = PackedImages::new(DIGITS).or(Err("digits"))?;
    let mut sample = [0.0; 64];
    let mut floats = [0.0; NET.inference_workspace()];
    let mut ranges = [TensorRange::EMPTY; TENSORS];
    let mut histograms = [0; 64 * TENSORS];
    let mut quantizations = [Quantization::PIXELS; TENSORS];
    let calibration = Calibration::new(
        Quantized,
        &weights,
        &mut floats,
        &mut ranges,
        &mut histograms,
    );
    let mut calibration = calibration.or(Err("calibration"))?;
    let read = |index: usize, sample: &mut [f32; 64]| {
        let levels = digits.levels(index).ok_or("levels")?;
        for (value, level) in sample.iter_mut().zip(levels) {
            *value = f32::from(level) / 15.0;
        }
        Ok::<_, &'static str>(())
    };
    for index in 0..10 {
        read(index, &mut sample)?;
        calibration.observe(&sample).or(Err("observe"))?;
    }
    for method in [
        RangeMethod::MinMax,
        RangeMethod::Percentile(0.999),
        RangeMethod::MeanSquaredError,
    ] {
        let chosen = calibration.choose(method, &mut quantizations);
        chosen.or(Err("choose"))?;
    }
    let mut words = [0; NET.quantized_weights()];
    quantize(Quantized, &weights, &quantizations, &mut words).or(Err("quantize"))?;
    let mut workspace = [0; NET.quantized_workspace()];
    let mut input = [0; 64];
    let mut inference =
        Int8Inference::new(Quantized, &words, &mut workspace).or(Err("inference"))?;
    inference.run(&input).or(Err("run"))?;
    inference.run_real(&sample, &mut input).or(Err("run"))?;
    let real = Inference::new(Quantized, &weights, &mut floats).or(Err("inference"))?;
    let mut errors = [TensorError::default(); TENSORS];
    let comparison = Comparison::new(real, inference, &mut errors);
    let mut comparison = comparison.or(Err("comparison"))?;
    comparison.run(&sample, &mut input).or(Err("compare"))?;
    let noise = comparison.errors()[TENSORS - 1].signal_to_noise();
    noise.map(|_| ()).ok_or("no values")
}

fn use_images() -> Result<(), &'static str> {
    const NET: Network = Images::NET;
    let mut weights = [0.0; NET.weights()];
    let mut gradients = [0.0; NET.trainable_weights()];
    let mut optimizer_state = [0.0; NET.optimizer_state::<Adam>()];
    let mut workspace = [0.0; NET.training_workspace(5)];
    let mut outputs_workspace = [0.0; NET.inference_workspace()];
    NET.initialize(&mut weights, 1).or(Err("initialize"))?;
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut gradients,
        optimizer_state: &mut optimizer_state,
        workspace: &mut workspace,
    };
    let digits = PackedImages::new(DIGITS).or(Err("digits"))?;
    let mut training = Holdout::training(digits, 5).or(Err("training"))?;
    let mut testing = Holdout::testing(digits, 5).or(Err("testing"))?;
    let loss = SoftmaxCrossEntropy::new();
    let mut trainer = Trainer::new(Images, loss, Adam::new(), memory).or(Err("trainer"))?;
    let plateau = ReduceOnPlateau::new(0.01, 0.5, 1, 1e-4);
    let epoch = trainer.epoch(&mut training, Epoch::in_order(32), &plateau, |_| {});
    epoch.or(Err("epoch"))?;
    trainer.evaluate(&mut testing, |_| {}).or(Err("evaluate"))?;
    let inference = Inference::new(Images, &weights, &mut outputs_workspace);
    let mut inference = inference.or(Err("inference"))?;
    inference.run(&[0.5; 64]).or(Err("run"))?;
    Ok(())
}

fn use_everything(page: &mut Page) -> Result<(), &'static str> {
    let mut weights = [0.0; NET.weights()];
    let mut best = [0.0; NET.weights()];
    let mut gradients = [0.0; NET.trainable_weights()];
    let mut optimizer_state = [0.0; NET.optimizer_state::<Adam>()];
    let mut workspace = [0.0; NET.training_workspace(3)];
    let mut outputs_workspace = [0.0; NET.inference_workspace()];
    let mut matrix = ConfusionMatrix::<10>::new(10).or(Err("matrix"))?;
    NET.initialize(&mut weights, 1).or(Err("initialize"))?;

    let memory = Memory {
        weights: &mut weights,
        gradients: &mut gradients,
        optimizer_state: &mut optimizer_state,
        workspace: &mut workspace,
    };
    let loss = SoftmaxCrossEntropy::with_label_smoothing(0.1).or(Err("loss"))?;
    let optimizer = ClipNorm::new(1.0, Adam::new()).or(Err("optimizer"))?;
    let digits = PackedImages::new(DIGITS).or(Err("digits"))?;
    let mut training = Holdout::training(digits, 5).or(Err("training"))?;
    let mut testing = Holdout::testing(digits, 5).or(Err("testing"))?;

    let mut trainer = Trainer::new(Digits, loss, optimizer, memory).or(Err("trainer"))?;
    let mut stopping = EarlyStopping::new(2, 0.0, &mut best);
    let mut plateau = ReduceOnPlateau::new(0.01, 0.5, 1, 1e-4);
    let cosine = Cosine {
        peak: 0.01,
        warmup: 10,
        decay: 80,
        floor: 0.0,
    };
    let order = Epoch::shuffled(32, 1);
    let epoch = trainer.epoch(&mut training, order, &cosine, |_| {});
    epoch.or(Err("epoch"))?;
    let epoch = trainer.epoch(&mut training, Epoch::in_order(50), &plateau, |_| {});
    let metrics = epoch.or(Err("epoch"))?;
    plateau.observe(metrics.loss());
    let verdict = stopping.observe(metrics.loss(), trainer.weights());
    verdict.or(Err("stopping"))?;
    let evaluated = trainer.evaluate(&mut testing, |result| {
        let class = lightlayers::metrics::arg_max;
        matrix
            .add(class(result.target), class(result.outputs))
            .expect("ten classes");
    });
    evaluated.or(Err("evaluate"))?;
    stopping.restore(trainer.weights_mut()).or(Err("restore"))?;

    let inference = Inference::new(Digits, &weights, &mut outputs_workspace);
    let mut inference = inference.or(Err("inference"))?;
    inference.run(&[0.5; 64]).or(Err("run"))?;
    let plan = Plan::new(&NET);
    let inference = Inference::new(&plan, &weights, &mut outputs_workspace);
    let mut inference = inference.or(Err("inference"))?;
    inference.run(&[0.5; 64]).or(Err("run"))?;

    let error = matrix.add(10, 0).err().ok_or("a class too many")?;
    let summary = NET.summary().training::<Adam>(1);
    write!(page, "{summary}\n{matrix}\n{error}").or(Err("page"))
}
