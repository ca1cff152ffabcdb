//! Links for the machine in `memory.x`, wherever cargo was started, and quantizes the networks that run quantized.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=memory.x");

    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for (name, words) in device_nets::quantized::ALL {
        let words = words().unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        fs::write(folder.join(name), bytes).expect("OUT_DIR can be written");
    }
}
