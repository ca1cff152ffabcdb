//! The table: written, and compared with the one that is committed.

use std::error::Error;
use std::fmt::Write;

use device_nets::{Conv28x28x8, RUNS};
use lightlayers::Model;

use crate::embedded::TARGET;
use crate::program::Program;

/// One program. Sizes are bytes, those of code above a program that does nothing.
pub struct Row {
    pub title: &'static str,
    pub macs: u64,
    pub instructions: u64,
    /// The same in a program with other layers of its kind; of single layers only.
    pub together: Option<u64>,
    pub text: u64,
    pub small_text: u64,
    pub tables: u64,
    pub statics: u64,
    pub stack: u64,
}

/// What a row may cost more than the committed one.
const GROWTH_PERCENT: u64 = 2;

/// The columns that may not grow, after the title and the multiply-accumulates.
const COSTS: [&str; 8] = [
    "instructions",
    "together",
    "`.text`",
    "`.text` at `\"s\"`",
    "tables",
    "`.bss`",
    "stack",
    "RAM",
];

impl Row {
    /// In the order of [`COSTS`].
    const fn costs(&self) -> [Option<u64>; COSTS.len()] {
        [
            Some(self.instructions),
            self.together,
            Some(self.text),
            Some(self.small_text),
            Some(self.tables),
            Some(self.statics),
            Some(self.stack),
            Some(self.statics + self.stack),
        ]
    }
}

/// The whole file.
pub fn format(rows: &[Row], empty: &Program, compiler: &str) -> String {
    let mut lines = vec![
        "# What layers and networks cost a Cortex-M4F".to_owned(),
        String::new(),
        "Printed by `cargo run --release --manifest-path benches/device/Cargo.toml`.".to_owned(),
        String::new(),
    ];
    let heads = COSTS.join(" | ");
    lines.push(format!("| | MACs | per MAC | together per MAC | {heads} |"));
    lines.push(format!("|---|--:|--:|--:|{}", "--:|".repeat(COSTS.len())));
    for row in rows {
        let mut line = format!("| {} | {} |", row.title, grouped(row.macs));
        // Writing to a string cannot fail.
        for instructions in [Some(row.instructions), row.together] {
            let _ = match instructions {
                Some(instructions) => {
                    write!(line, " {:.2} |", instructions as f64 / row.macs as f64)
                }
                None => write!(line, " |"),
            };
        }
        for cost in row.costs() {
            let _ = match cost {
                Some(cost) => write!(line, " {} |", grouped(cost)),
                None => write!(line, " |"),
            };
        }
        lines.push(line);
    }
    lines.extend([
        String::new(),
        format!("- {TARGET}, `opt-level = 3`, fat LTO, {compiler}; QEMU's machine mps2-an386."),
        format!(
            "- Instructions, not cycles: the mean of {RUNS} runs, exact to two. A training step is of one sample, SGD with momentum;"
        ),
        "  its instructions are given per MAC of the forward pass. Where a network has one layer of a kind, the compiler makes that"
            .to_owned(),
        "  kind's code for its very shape. Together: all layers of the table in one program, as in a network with several of a kind."
            .to_owned(),
        "- MLP: 784 → dense 32 → relu → dense 10. CNN: 28x28x1 → conv 8 → relu → pool → conv 16 → relu → pool → dense 10; windows of 3x3,"
            .to_owned(),
        "  pools of 2x2. Both with softmax cross-entropy.".to_owned(),
        "- int8: quantized, layers of two factors and batch normalization as `split_factors` and `fold_batch_norm` make them.".to_owned(),
        format!(
            "  Of the `.bss` of 28x28x8 → 8, {} bytes are scratch beside its output.",
            4 * Conv28x28x8::NET.quantized_workspace() - Conv28x28x8::NET.output_shape().len()
        ),
        "- Sizes are bytes. `.text` is above a program without a network. Tables are the constants of `.rodata`, the network's among"
            .to_owned(),
        "  them, without what is in flash beside: the sample, and for inference the weights. `.bss` is all static memory.".to_owned(),
        format!(
            "  The stack is painted; {} bytes of it are in use without a network. RAM is `.bss` and stack.",
            empty.measurement.stack
        ),
        "- The outputs of inference, and the weights after all training steps, have the host's bits.".to_owned(),
    ]);
    lines.join("\n") + "\n"
}

/// What grew too much since the table that is given was written.
pub fn grown(rows: &[Row], committed: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut grown = Vec::new();
    for row in rows {
        let before = costs_in(committed, row)
            .ok_or_else(|| format!("{}: not in table.md as it is: --update", row.title))?;
        for ((name, cost), before) in COSTS.iter().zip(row.costs()).zip(before) {
            let (Some(cost), Some(before)) = (cost, before) else {
                continue;
            };
            if 100 * cost > (100 + GROWTH_PERCENT) * before {
                grown.push(format!(
                    "{}: {name} grew from {before} to {cost}, more than {GROWTH_PERCENT} %",
                    row.title
                ));
            }
        }
    }
    Ok(grown)
}

/// The costs of a row in a table, if it has the row with as many multiply-accumulates and the same columns filled.
fn costs_in(table: &str, row: &Row) -> Option<Vec<Option<u64>>> {
    let start = format!("| {} | {} | ", row.title, grouped(row.macs));
    let rest = table.lines().find_map(|line| line.strip_prefix(&start))?;
    // After the last column there is nothing.
    let cells: Vec<_> = rest.trim_end_matches('|').split('|').skip(2).collect();
    let costs = cells
        .iter()
        .map(|cell| cell.trim().replace(',', "").parse().ok());
    let costs: Vec<Option<u64>> = costs.collect();
    let filled = |costs: &[Option<u64>]| costs.iter().map(Option::is_some).collect::<Vec<_>>();
    (filled(&costs) == filled(&row.costs())).then_some(costs)
}

/// With a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row {
        title: "dense",
        macs: 1_000,
        instructions: 1_020,
        together: None,
        text: 100,
        small_text: 50,
        tables: 0,
        statics: 40,
        stack: 10,
    };

    #[test]
    fn two_percent_more_are_allowed() {
        let table = "| dense | 1,000 | 1.00 | | 1,000 | | 100 | 50 | 0 | 40 | 10 | 50 |";
        assert_eq!(grown(&[ROW], table).unwrap(), [""; 0]);
        let table = "| dense | 1,000 | 1.00 | | 999 | | 100 | 50 | 0 | 40 | 10 | 50 |";
        assert_eq!(
            grown(&[ROW], table).unwrap(),
            ["dense: instructions grew from 999 to 1020, more than 2 %"]
        );
    }

    #[test]
    fn a_row_must_be_there_as_it_is() {
        assert!(grown(&[ROW], "").is_err());
        let more_work = "| dense | 1,001 | 1.00 | | 1,000 | | 100 | 50 | 0 | 40 | 10 | 50 |";
        assert!(grown(&[ROW], more_work).is_err());
    }
}
