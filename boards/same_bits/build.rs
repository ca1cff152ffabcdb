//! Gives the linker the memory of the machine that QEMU has for the target.

use std::env::var;
use std::error::Error;
use std::fs;
use std::path::Path;

/// A Cortex-M0 in the micro:bit.
const MICROBIT: &str = "
MEMORY
{
    FLASH : ORIGIN = 0x00000000, LENGTH = 256K
    RAM : ORIGIN = 0x20000000, LENGTH = 16K
}
";

/// A Cortex-M4F in the board AN386, with as little RAM as the others.
const AN386: &str = "
MEMORY
{
    FLASH : ORIGIN = 0x00000000, LENGTH = 256K
    RAM : ORIGIN = 0x20000000, LENGTH = 16K
}
";

/// The FE310 of the HiFive1: its program lies in the flash behind its bus.
const HIFIVE1: &str = "
MEMORY
{
    FLASH : ORIGIN = 0x20400000, LENGTH = 256K
    RAM : ORIGIN = 0x80000000, LENGTH = 16K
}
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

fn main() -> Result<(), Box<dyn Error>> {
    let target = var("TARGET")?;
    let memory = match target.as_str() {
        "thumbv6m-none-eabi" => MICROBIT,
        "thumbv7em-none-eabihf" => AN386,
        "riscv32imac-unknown-none-elf" => HIFIVE1,
        other => return Err(format!("there is no machine for {other}").into()),
    };
    let folder = var("OUT_DIR")?;
    fs::write(Path::new(&folder).join("memory.x"), memory)?;
    println!("cargo:rustc-link-search={folder}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
