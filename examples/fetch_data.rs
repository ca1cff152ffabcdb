//! Downloads the official files of a data set, verifies them, and reads them once.
//!
//! ```text
//! cargo run --release --example fetch_data -- mnist DIR
//! cargo run --release --example fetch_data -- cifar10 DIR
//! ```
//!
//! The files go to `DIR/mnist`, `DIR/fashion-mnist`, `DIR/cifar-10` or `DIR/cifar-100`, where the other examples look for them. A
//! download that was cut off goes on where it ended when the command is run again; what is there and verified is not downloaded again.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lightlayers_datasets::{Archive, Fetched, Fetcher, Set};

/// Download a data set.
#[derive(Parser)]
#[command(name = "fetch_data")]
struct Arguments {
    /// mnist, fashion-mnist, cifar10 or cifar100
    set: Set,

    /// Folder in which the data set gets a folder of its own
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Address of a folder with the same files, instead of the official one; they are verified all the same
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

fn main() -> Result<()> {
    let Arguments {
        set,
        directory,
        mirror,
    } = Arguments::parse();
    let folder = directory.join(set.key());
    let fetcher = Fetcher::new();
    for archive in set.archives() {
        let path = folder.join(archive.name);
        let url = match &mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), archive.name),
            None => archive.url.into(),
        };
        let archive = Archive {
            url: &url,
            ..*archive
        };

        let bar = download_bar(&archive);
        let mut started = false;
        let fetched = fetcher.fetch(&archive, &folder, |bytes| {
            bar.set_position(bytes);
            // The rate is that of this download, without what was there before it.
            if !started {
                bar.reset_eta();
                started = true;
            }
        });
        bar.finish_and_clear();
        let how = match fetched? {
            Fetched::AlreadyThere => String::from("was there"),
            Fetched::Downloaded { resumed_at: 0 } => String::from("downloaded"),
            Fetched::Downloaded { resumed_at } => format!("resumed at byte {resumed_at}"),
        };
        println!(
            "{}: {} bytes, {how}, SHA-256 verified",
            path.display(),
            archive.size
        );
    }

    let images = set
        .read(&directory)
        .context("the files are the official ones, but cannot be read")?;
    println!("{images}");
    Ok(())
}

/// Where the standard error stream is not a terminal there is no bar.
fn download_bar(archive: &Archive<'_>) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {bar:30.cyan/238} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    )
    .expect("the template is a constant")
    .progress_chars("━╸━");
    ProgressBar::new(archive.size)
        .with_style(style)
        .with_prefix(archive.name.to_owned())
}
