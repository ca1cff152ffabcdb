//! Lets the linker find this folder's `memory.x`, and the scripts of `cortex-m-rt` and `defmt`.

use std::env::{self, VarError};
use std::path::Path;
use std::{fs, io};

/// Where the chip has the 64 KB beside its core. Nothing but the core reaches them.
const CHIP: &str = "0x10000000";

/// QEMU has nothing there, but all 192 KB in one piece: behind the other 128.
const QEMU: &str = "0x20020000";

fn main() -> io::Result<()> {
    let origin = if env::var_os("CARGO_FEATURE_CHIP").is_some() {
        CHIP
    } else {
        QEMU
    };
    let folder = env::var("OUT_DIR").map_err(|error: VarError| io::Error::other(error))?;
    fs::write(
        Path::new(&folder).join("ccm.x"),
        format!("MEMORY {{ CCM : ORIGIN = {origin}, LENGTH = 64K }}\n"),
    )?;
    println!("cargo:rustc-link-search={folder}");
    println!("cargo:rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=memory.x");
    Ok(())
}
