//! Firmware in QEMU trains to the bits of the host, and quantizes and answers with its integers.
//!
//! Without QEMU or the targets it says so and passes, unless the environment has `CI`: there it fails.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use boards_common::same_bits::{self, BLOCKS, Checksums, DENSE, IMAGES};

/// A processor, and what QEMU has of it.
struct Machine {
    target: &'static str,
    qemu: &'static str,
    machine: &'static str,
}

const MACHINES: [Machine; 3] = [
    // A Cortex-M0, whose floats are software.
    Machine {
        target: "thumbv6m-none-eabi",
        qemu: "qemu-system-arm",
        machine: "microbit",
    },
    // A Cortex-M4F, whose unit could also multiply and add at once.
    Machine {
        target: "thumbv7em-none-eabihf",
        qemu: "qemu-system-arm",
        machine: "mps2-an386",
    },
    // A RISC-V, whose floats are software.
    Machine {
        target: "riscv32imac-unknown-none-elf",
        qemu: "qemu-system-riscv32",
        machine: "sifive_e",
    },
];

/// Of the three networks after their 200 steps.
const CHECKSUMS: [Checksums; 3] = [
    Checksums {
        learned: 0x543e_578a,
        quantized: 0x7d82_ef08,
        answers: 0xa75c_ef42,
    },
    Checksums {
        learned: 0x29ab_54d3,
        quantized: 0xed14_9621,
        answers: 0x4b52_1e6e,
    },
    Checksums {
        learned: 0xbf6a_82ff,
        quantized: 0xd761_5bfa,
        answers: 0x8ecb_1b17,
    },
];

#[test]
fn the_host_has_the_committed_bits() {
    let dense = same_bits::dense(&mut [0.0; DENSE]);
    let images = same_bits::images(&mut [0.0; IMAGES]);
    let blocks = same_bits::blocks(&mut [0.0; BLOCKS]);
    assert_eq!([dense, images, blocks], CHECKSUMS.map(Ok));
    assert!(same_bits::dense(&mut [0.0; DENSE - 1]).is_err());
}

#[test]
fn every_machine_has_the_bits_of_the_host() {
    let expected = CHECKSUMS.map(|checksums| checksums.to_string());
    for machine in &MACHINES {
        if let Err(missing) = machine.is_here() {
            assert!(env::var_os("CI").is_none(), "{missing}");
            // Not by a macro: the harness keeps what those print in a test that passes.
            writeln!(io::stderr(), "not tested: {missing}").expect("standard error");
            continue;
        }
        let printed = machine.run(&machine.build());
        let printed: Vec<_> = printed.lines().collect();
        assert_eq!(printed, expected, "{}", machine.target);
    }
}

impl Machine {
    fn is_here(&self) -> Result<(), String> {
        let version = Command::new(self.qemu).arg("--version").output();
        if version.is_err() {
            return Err(format!("{} is not installed", self.qemu));
        }
        let mut rustc = embedded("rustc");
        rustc.args(["--print", "target-libdir", "--target", self.target]);
        let printed = rustc.output().expect("as cargo").stdout;
        let folder = String::from_utf8(printed).expect("a path");
        if !Path::new(folder.trim()).is_dir() {
            return Err(format!(
                "{} is missing: EMBEDDED_CARGO=$(bash .ci/targets)",
                self.target
            ));
        }
        Ok(())
    }

    fn build(&self) -> PathBuf {
        let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/same_bits");
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
        let mut cargo = embedded("cargo");
        cargo
            .args(["build", "--quiet", "--release", "--locked"])
            .args(["--target", self.target])
            .arg("--manifest-path")
            .arg(firmware.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&output)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        let status = cargo.status().expect("cargo runs");
        assert!(status.success(), "{cargo:?}");
        output.join(self.target).join("release/same-bits")
    }

    fn run(&self, elf: &Path) -> String {
        let mut qemu = Command::new(self.qemu);
        qemu.args(["-machine", self.machine, "-display", "none"])
            .args(["-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(elf);
        let output = qemu.output().expect("qemu runs");
        assert!(output.status.success(), "{qemu:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A program of the toolchain that has the targets: `EMBEDDED_CARGO` may be `cargo +name`.
fn embedded(program: &str) -> Command {
    let words = env::var("EMBEDDED_CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(program);
    command.args(words.split_whitespace().skip(1));
    command
}
