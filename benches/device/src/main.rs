//! Prints what layers and networks cost a Cortex-M4F, as QEMU counts its instructions:
//!
//! ```sh
//! EMBEDDED_CARGO=$(bash .ci/targets) cargo run --release --manifest-path benches/device/Cargo.toml -- --check
//! ```
//!
//! The programs are in `firmware/`, their networks in `nets/`. `EMBEDDED_CARGO` is the cargo that has their target, `cargo` if it is
//! not set. The bits that a program computes must be the host's. `--check` fails when a number is more than 2 % above the one in
//! `table.md`; `--update` writes that file.

#[path = "../../size/src/embedded.rs"]
mod embedded;
mod host;
mod program;
mod table;

use std::error::Error;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;

use device_nets as nets;

use host::Work;
use program::{Measurement, Profile, Program};
use table::Row;

/// A program and what it does.
struct Case {
    program: &'static str,
    title: &'static str,
    /// The same on the host.
    work: fn() -> Result<Work, Box<dyn Error>>,
}

const CASES: [Case; 21] = [
    Case {
        program: "conv_28x28x8",
        title: "conv2d 3x3, 28x28x8 → 8",
        work: || host::infer(nets::Conv28x28x8),
    },
    Case {
        program: "conv_14x14x16",
        title: "conv2d 3x3, 14x14x16 → 16",
        work: || host::infer(nets::Conv14x14x16),
    },
    Case {
        program: "conv_28x28x1",
        title: "conv2d 3x3, 28x28x1 → 8",
        work: || host::infer(nets::Conv28x28x1),
    },
    Case {
        program: "light_conv_14x14x16",
        title: "light_conv2d 3x3, 14x14x16 → rank 4 → 16",
        work: || host::infer(nets::LightConv14x14x16),
    },
    Case {
        program: "dense_784",
        title: "dense 784 → 32",
        work: || host::infer(nets::Dense784),
    },
    Case {
        program: "dense_32",
        title: "dense 32 → 10",
        work: || host::infer(nets::Dense32),
    },
    Case {
        program: "mlp_train",
        title: "MLP, training step",
        work: || host::train(nets::Mlp),
    },
    Case {
        program: "cnn_infer",
        title: "CNN, inference",
        work: || host::infer(nets::Cnn),
    },
    Case {
        program: "cnn_train",
        title: "CNN, training step",
        work: || host::train(nets::Cnn),
    },
    Case {
        program: "cnn_train_head",
        title: "CNN, training step, convolutions frozen",
        work: || host::train(nets::CnnHead),
    },
    Case {
        program: "paper_infer",
        title: "paper's MNIST network, light, K = 3, inference",
        work: || host::infer(nets::Paper),
    },
    Case {
        program: "paper_train",
        title: "paper's MNIST network, light, K = 3, training step",
        work: || host::train(nets::Paper),
    },
    Case {
        program: "int8_conv_28x28x8",
        title: "int8: conv2d 3x3, 28x28x8 → 8",
        work: || host::infer_int8(nets::Conv28x28x8),
    },
    Case {
        program: "int8_conv_14x14x16",
        title: "int8: conv2d 3x3, 14x14x16 → 16",
        work: || host::infer_int8(nets::Conv14x14x16),
    },
    Case {
        program: "int8_conv_28x28x1",
        title: "int8: conv2d 3x3, 28x28x1 → 8",
        work: || host::infer_int8(nets::Conv28x28x1),
    },
    Case {
        program: "int8_light_conv_14x14x16",
        title: "int8: light_conv2d 3x3, 14x14x16 → rank 4 → 16",
        work: || host::infer_int8(nets::Int8LightConv14x14x16),
    },
    Case {
        program: "int8_dense_784",
        title: "int8: dense 784 → 32",
        work: || host::infer_int8(nets::Dense784),
    },
    Case {
        program: "int8_dense_32",
        title: "int8: dense 32 → 10",
        work: || host::infer_int8(nets::Dense32),
    },
    Case {
        program: "int8_max_pool",
        title: "int8: max_pool2d 2x2, 28x28x8, per input element",
        work: || host::infer_int8(nets::MaxPool28x28x8),
    },
    Case {
        program: "int8_cnn",
        title: "int8: CNN and softmax, inference",
        work: || host::infer_int8(nets::Int8Cnn),
    },
    Case {
        program: "int8_paper",
        title: "int8: paper's MNIST network, light, K = 3, inference",
        work: || host::infer_int8(nets::Int8Paper),
    },
];

/// All programs with one layer in one, in the order of [`CASES`] from the one that is named on.
const LAYERS: [(&str, &str); 2] = [
    ("layers", "conv_28x28x8"),
    ("int8_layers", "int8_conv_28x28x8"),
];

/// Without a network: a loop of 20,002 instructions, and a few around it.
const EMPTY: &str = "empty";
const EMPTY_INSTRUCTIONS: RangeInclusive<u32> = 20_002..=20_010;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds, measures and prints; false if the table is to be checked and a number grew.
fn run() -> Result<bool, Box<dyn Error>> {
    let (mut check, mut update) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            "--update" => update = true,
            other => {
                return Err(
                    format!("unknown argument {other}: expected --check or --update").into(),
                );
            }
        }
    }

    program::build(Profile::Release)?;
    program::build(Profile::Small)?;
    let empty = Program::measure(EMPTY)?;
    if !EMPTY_INSTRUCTIONS.contains(&empty.measurement.instructions) {
        return Err(format!(
            "the clock counts wrongly: {} instructions, expected {EMPTY_INSTRUCTIONS:?}",
            empty.measurement.instructions
        )
        .into());
    }
    let mut together = Vec::new();
    for (program, first) in LAYERS {
        let start = CASES.iter().position(|case| case.program == first);
        let start = start.ok_or_else(|| format!("there is no program {first}"))?;
        together.resize_with(start, || None);
        together.extend(Measurement::all_of(program)?.into_iter().map(Some));
    }
    let rows = CASES
        .iter()
        .enumerate()
        .map(|(index, case)| measure(case, &empty, together.get(index).and_then(Option::as_ref)))
        .collect::<Result<Vec<_>, _>>()?;

    let table = table::format(&rows, &empty, &embedded::compiler()?);
    print!("{table}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("table.md");
    let mut grown = Vec::new();
    if check {
        grown = table::grown(&rows, &fs::read_to_string(&file)?)?;
    }
    if update {
        fs::write(&file, table)?;
    }
    for line in &grown {
        eprintln!("error: {line}");
    }
    Ok(grown.is_empty())
}

/// `together`: the same work in a program with others.
fn measure(
    case: &Case,
    empty: &Program,
    together: Option<&Measurement>,
) -> Result<Row, Box<dyn Error>> {
    let program = Program::measure(case.program)?;
    let work = (case.work)().map_err(|error| format!("{} on the host: {error}", case.program))?;
    for measurement in together.into_iter().chain([&program.measurement]) {
        if measurement.checksum != work.checksum {
            return Err(format!(
                "{}: other bits than on the host: checksum {:#010x}, expected {:#010x}",
                case.program, measurement.checksum, work.checksum
            )
            .into());
        }
    }
    Ok(Row {
        title: case.title,
        macs: work.multiply_accumulates,
        instructions: program.measurement.instructions.into(),
        together: together.map(|measurement| measurement.instructions.into()),
        text: program.text - empty.text,
        small_text: program.small_text - empty.small_text,
        tables: program.rodata - empty.rodata - work.data_in_flash,
        statics: program.statics,
        stack: program.measurement.stack.into(),
    })
}
