//! Builds one of the programs and reads what came out.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::Image;

pub const TARGET: &str = "thumbv7em-none-eabihf";

/// Builds a program of `firmware/` and measures it.
pub fn program(name: &str) -> Result<Image, Box<dyn Error>> {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
    let output = output_folder();
    fs::create_dir_all(&output)?;
    let map = output.join(format!("{name}.map"));

    let mut cargo = embedded_cargo();
    let status = cargo
        .args([
            "rustc",
            "--quiet",
            "--release",
            "--bin",
            name,
            "--target",
            TARGET,
        ])
        .arg("--manifest-path")
        .arg(firmware.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&output)
        .args(["--", "-Zemit-stack-sizes"])
        .arg(format!(
            "-Clink-arg=-T{}",
            firmware.join("link.x").display()
        ))
        .arg(format!("-Clink-arg=-Map={}", map.display()))
        // `-Z emit-stack-sizes` is unstable; it does not change the code that is generated.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "{name} does not build; if it is {TARGET} that is missing: EMBEDDED_CARGO=$(bash .ci/targets)"
        )
        .into());
    }

    let executable = fs::read(output.join(TARGET).join("release").join(name))?;
    let map = fs::read_to_string(map)?;
    Image::read(&executable, &map).map_err(|error| format!("{name}: {error}").into())
}

/// The version of the cargo that builds the programs, which is its compiler's too.
pub fn compiler() -> Result<String, Box<dyn Error>> {
    let output = embedded_cargo().arg("--version").output()?;
    let version = String::from_utf8(output.stdout)?;
    Ok(version.trim().to_owned())
}

/// `EMBEDDED_CARGO` may hold a toolchain as well: `cargo +name`.
fn embedded_cargo() -> Command {
    let words = env::var("EMBEDDED_CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cargo"));
    command.args(words);
    command
}

fn output_folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.join("size-firmware")
}
