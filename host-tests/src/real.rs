//! The real data sets, in the folder that `LIGHTLAYERS_DATA` names.

use std::path::PathBuf;

use anyhow::Result;
use lightlayers_datasets::{Error, ImageSet, Set};

/// The data set, or none if it is not there, which is said on the standard output; any other error is one.
pub fn read_real(set: Set) -> Result<Option<ImageSet>> {
    let Some(folder) = std::env::var_os("LIGHTLAYERS_DATA").map(PathBuf::from) else {
        println!("skipped: LIGHTLAYERS_DATA does not name a folder with data sets");
        return Ok(None);
    };
    match set.read(&folder) {
        Err(error @ Error::Missing { .. }) => {
            println!("skipped: {error}");
            Ok(None)
        }
        result => {
            let images = result?;
            println!("{images}");
            Ok(Some(images))
        }
    }
}
