//! Prints what a network costs in firmware, above a program that does nothing:
//!
//! ```sh
//! EMBEDDED_CARGO=$(bash .ci/targets) cargo run --release --manifest-path benches/size/Cargo.toml -- --check
//! ```
//!
//! The programs are in `firmware/`. `EMBEDDED_CARGO` is the cargo that has their target, `cargo` if it is not set.
//! `--list` adds every function and constant with its size; `--check` fails when a limit is exceeded.
//!
//! `--panics` scans instead the programs in `sessions/`, one for each session of the library, at the
//! optimization levels "z", "s" and 3. It fails if one of them links a panic, and prints the functions
//! that call it and the lines of source code that it names. `--panics int8 reader` scans these two.

mod build;
mod embedded;
mod image;
mod panics;

use std::error::Error;
use std::process::ExitCode;

use image::Image;

/// A program and the most that it may cost, in bytes.
struct Budget {
    program: &'static str,
    title: &'static str,
    code: u64,
    network_table: u64,
    stack_frame: u64,
}

const BUDGETS: [Budget; 4] = [
    Budget {
        program: "infer",
        title: "inference",
        code: 1_400,
        network_table: 200,
        stack_frame: 256,
    },
    Budget {
        program: "train_sgd",
        title: "SGD training",
        code: 4_750,
        network_table: 200,
        stack_frame: 256,
    },
    Budget {
        program: "infer_images",
        title: "inference, every layer of images",
        code: 17_000,
        network_table: 1_700,
        stack_frame: 700,
    },
    Budget {
        program: "train_images",
        title: "SGD training, every layer of images",
        code: 43_500,
        network_table: 1_800,
        stack_frame: 800,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let passes = match arguments.split_first() {
        Some((first, programs)) if first == "--panics" => panics::scan(programs),
        _ => measure(&arguments),
    };
    match passes {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds, measures and prints; false if limits are to be checked and one is exceeded.
fn measure(arguments: &[String]) -> Result<bool, Box<dyn Error>> {
    let (mut check, mut list) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "--check" => check = true,
            "--list" => list = true,
            other => {
                return Err(format!(
                    "unknown argument {other}: expected --check, --list or --panics"
                )
                .into());
            }
        }
    }

    let empty = build::program("empty")?;
    let images = BUDGETS
        .iter()
        .map(|budget| build::program(budget.program))
        .collect::<Result<Vec<_>, _>>()?;

    println!("784 → light_dense(32, 4) → relu → dense(10); and a network of every layer of images");
    println!(
        "{}, `opt-level = \"s\"`, fat LTO, {}",
        embedded::TARGET,
        embedded::compiler()?
    );
    println!();
    println!("| | code | network table | `compiler_builtins` | largest stack frame | panics |");
    println!("|---|--:|--:|--:|--:|---|");
    let mut exceeded = Vec::new();
    for (budget, image) in BUDGETS.iter().zip(&images) {
        let cost = image.above(&empty);
        println!(
            "| {} | {} B of {} | {} B of {} | {} B | {} B of {}, `{}` | {} |",
            budget.title,
            cost.code,
            budget.code,
            cost.network_table,
            budget.network_table,
            cost.compiler_builtins,
            image.largest_frame.bytes,
            budget.stack_frame,
            image.largest_frame.function,
            panics(image),
        );
        for (what, found, limit) in [
            ("code", cost.code, budget.code),
            ("network table", cost.network_table, budget.network_table),
            (
                "largest stack frame",
                image.largest_frame.bytes,
                budget.stack_frame,
            ),
        ] {
            if found > limit {
                exceeded.push(format!(
                    "{}: {what} is {found} B, the limit is {limit} B",
                    budget.title
                ));
            }
        }
        if !image.panic_functions.is_empty() {
            exceeded.push(format!("{}: panics are linked", budget.title));
        }
    }
    println!();
    println!(
        "Code is .text and initial values of .data; the network table is all of .rodata, with whatever other constants"
    );
    println!(
        "there are. Both are above a program that does nothing and without `compiler_builtins`, which is counted apart."
    );

    if list {
        for (budget, image) in BUDGETS.iter().zip(&images) {
            print_contents(budget.title, image);
        }
    }
    for line in exceeded.iter().filter(|_| check) {
        eprintln!("error: {line}");
    }
    Ok(!check || exceeded.is_empty())
}

fn panics(image: &Image) -> String {
    match image.panic_functions.as_slice() {
        [] => "none linked".to_owned(),
        functions => format!("`{}`", functions.join("`, `")),
    }
}

fn print_contents(title: &str, image: &Image) {
    println!();
    println!("Functions and constants of {title}:");
    println!();
    println!("| bytes | section | name |");
    println!("|--:|---|---|");
    for piece in &image.pieces {
        println!("| {} | {} | `{}` |", piece.bytes, piece.section, piece.name);
    }
}
