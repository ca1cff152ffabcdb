//! The table of all runs, and the files of each.

use std::fmt::Write;

use anyhow::Result;
use lightlayers::Plan;
use lightlayers::file::Writer;
use lightlayers::paper::Kind;
use lightlayers_datasets::Set;

use crate::common::chart::{EpochResult, Legend, Measured, learning_curves};
use crate::common::files;
use crate::confusion;
use crate::networks::{self, Name};
use crate::training::{Outcome, Run};

/// A kind of network, and what each seed gave.
pub struct Row {
    pub kind: Kind,
    pub parameters: usize,
    pub test: Vec<Measured>,
}

impl Row {
    fn mean(&self, of: impl Fn(&Measured) -> f32) -> f32 {
        self.test.iter().map(of).sum::<f32>() / self.test.len() as f32
    }
}

/// The table in Markdown: ours beside the paper's, and the accuracy of each seed if there are several.
pub fn table(set: Set, rows: &[Row]) -> String {
    let seeds = rows.iter().map(|row| row.test.len()).max().unwrap_or(0);
    let mut heads = vec![
        "method",
        "parameters",
        "accuracy",
        "loss",
        "accuracy in the paper",
        "loss in the paper",
    ];
    if seeds > 1 {
        heads[2] = "mean accuracy";
        heads[3] = "mean loss";
        heads.push("accuracy of each seed");
    }
    let mut text = format!("| {} |\n|---|", heads.join(" | "));
    text += &"--:|".repeat(heads.len() - 1);
    text.push('\n');
    for row in rows {
        let (accuracy, loss) = match networks::printed(set, row.kind) {
            Some(printed) => (
                format!("{:.4}", printed.accuracy),
                format!("{:.4}", printed.loss),
            ),
            None => (String::new(), String::new()),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "| {} | {} | {:.4} | {:.4} | {accuracy} | {loss} |",
            Name(row.kind),
            with_commas(row.parameters),
            row.mean(|test| test.accuracy),
            row.mean(|test| test.loss)
        );
        if seeds > 1 {
            let each = row.test.iter().map(|test| format!("{:.4}", test.accuracy));
            let _ = write!(text, " {} |", each.collect::<Vec<_>>().join(", "));
        }
        text.push('\n');
    }
    text
}

fn with_commas(number: usize) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", with_commas(number / 1000), number % 1000)
    }
}

/// Writes the model file, curves, the confusion matrix and the epochs of a run into its folder.
pub fn write_files(run: &Run<'_>, outcome: &Outcome) -> Result<()> {
    let plan = Plan::new(&run.settings.network(run.set(), run.kind));
    let model = Writer::new(&plan, &outcome.weights)?;
    let bytes: Vec<u8> = model.blocks().flatten().collect();
    files::write(&run.folder.join("network.model"), &bytes)?;

    let mut csv = String::from(
        "epoch,learning_rate,training_loss,training_accuracy,validation_loss,validation_accuracy\n",
    );
    for (epoch, record) in (1..).zip(&outcome.epochs) {
        let EpochResult { training, test } = record.result;
        let _ = writeln!(
            csv,
            "{epoch},{},{},{},{},{}",
            record.rate, training.loss, training.accuracy, test.loss, test.accuracy
        );
    }
    files::write(&run.folder.join("epochs.csv"), csv.as_bytes())?;

    let title = format!(
        "{}, {}, {} parameters, seed {}: test accuracy {:.4}",
        run.set(),
        Name(run.kind),
        with_commas(outcome.weights.len()),
        run.seed,
        outcome.test.accuracy
    );
    let legend = Legend {
        training: "training, as the recipe changes images and labels",
        test: match run.settings.held_back {
            Some(_) => "validation, images held back from training",
            None => "test images, which steer the learning rate",
        },
    };
    let results: Vec<EpochResult> = outcome.epochs.iter().map(|epoch| epoch.result).collect();
    learning_curves(&run.folder.join("curves.svg"), &title, &legend, &results)?;
    confusion::draw(
        &run.folder.join("confusion.svg"),
        &title,
        &outcome.confusion,
    )
}
