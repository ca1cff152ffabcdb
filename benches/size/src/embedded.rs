//! The cargo that builds firmware.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TARGET: &str = "thumbv7em-none-eabihf";

/// `EMBEDDED_CARGO` may hold a toolchain as well: `cargo +name`.
pub fn cargo() -> Command {
    let words = env::var("EMBEDDED_CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cargo"));
    command
        .args(words)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Its version, which is its compiler's too.
pub fn compiler() -> Result<String, Box<dyn Error>> {
    let output = cargo().arg("--version").output()?;
    let version = String::from_utf8(output.stdout)?;
    Ok(version.trim().to_owned())
}

/// Where the firmware goes: a folder apart, since its cargo may be another one.
pub fn output_folder(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.join(name)
}
