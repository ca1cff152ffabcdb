//! Builds one of the programs and reads what came out.

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::embedded::{self, TARGET};
use crate::image::Image;

/// Builds a program of `firmware/` and measures it.
pub fn program(name: &str) -> Result<Image, Box<dyn Error>> {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
    let output = embedded::output_folder("size-firmware");
    fs::create_dir_all(&output)?;
    let map = output.join(format!("{name}.map"));

    let mut cargo = embedded::cargo();
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
