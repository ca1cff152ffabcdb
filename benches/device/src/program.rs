//! Builds the programs, runs one in QEMU, and reads what it printed and what was linked.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use object::elf::FileHeader32;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSection};

use crate::embedded::{self, TARGET};

/// A profile of `firmware/`.
#[derive(Clone, Copy)]
pub enum Profile {
    /// `opt-level = 3`: what runs.
    Release,
    /// `opt-level = "s"`: only its bytes are counted.
    Small,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Small => "small",
        }
    }
}

/// The repository under a name that is the same wherever it lies: cargo makes the folder a part of the names of crates, and the compiler's
/// choices depend on those by a few percent of the instructions.
fn same_folder() -> Result<PathBuf, Box<dyn Error>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repository = repository.canonicalize()?;
    let name = Path::new("/tmp/lightlayers-device-bench");
    if fs::read_link(name).is_ok_and(|target| target == repository) {
        return Ok(name.to_owned());
    }
    // Whose link it was builds it anew.
    if name.symlink_metadata().is_ok() {
        fs::remove_file(name)?;
    }
    std::os::unix::fs::symlink(&repository, name)
        .map_err(|error| format!("cannot link {}: {error}", name.display()))?;
    Ok(name.to_owned())
}

/// Builds all programs.
pub fn build(profile: Profile) -> Result<(), Box<dyn Error>> {
    let manifest = same_folder()?.join("benches/device/firmware/Cargo.toml");
    let mut cargo = embedded::cargo();
    let status = cargo
        .args(["build", "--quiet", "--bins", "--target", TARGET])
        .args(["--profile", profile.name(), "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(output_folder())
        .status()
        .map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "the programs do not build; if it is {TARGET} that is missing: EMBEDDED_CARGO=$(bash .ci/targets)"
        )
        .into());
    }
    Ok(())
}

/// What a program printed.
pub struct Measurement {
    pub instructions: u32,
    pub checksum: u32,
    /// The most that was in use so far.
    pub stack: u32,
}

impl Measurement {
    /// Runs a program that was built.
    pub fn all_of(name: &str) -> Result<Vec<Self>, Box<dyn Error>> {
        let printed = emulate(&executable(Profile::Release, name))
            .map_err(|error| format!("{name}: {error}"))?;
        printed.lines().map(Self::read).collect()
    }

    fn read(line: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            instructions: number_after(line, "instructions")?,
            checksum: number_after(line, "checksum")?,
            stack: number_after(line, "stack")?,
        })
    }
}

/// One program, measured. Sizes are bytes.
pub struct Program {
    pub measurement: Measurement,
    pub text: u64,
    /// `.text` of the small profile.
    pub small_text: u64,
    pub rodata: u64,
    /// `.data` and `.bss`.
    pub statics: u64,
}

impl Program {
    /// Runs and reads a program that was built.
    pub fn measure(name: &str) -> Result<Self, Box<dyn Error>> {
        let mut measurements = Measurement::all_of(name)?;
        let (Some(measurement), true) = (measurements.pop(), measurements.is_empty()) else {
            return Err(format!("{name}: it did not print one line").into());
        };
        let sizes = Sizes::read(&executable(Profile::Release, name))?;
        let small = Sizes::read(&executable(Profile::Small, name))?;
        Ok(Self {
            measurement,
            text: sizes.text,
            small_text: small.text,
            rodata: sizes.rodata,
            statics: sizes.statics,
        })
    }
}

struct Sizes {
    text: u64,
    rodata: u64,
    statics: u64,
}

impl Sizes {
    fn read(executable: &Path) -> Result<Self, Box<dyn Error>> {
        let executable = fs::read(executable)?;
        let elf = ElfFile::<FileHeader32<Endianness>>::parse(executable.as_slice())?;
        let bytes = |name| {
            elf.section_by_name(name)
                .map_or(0, |section| section.size())
        };
        Ok(Self {
            text: bytes(".text"),
            rodata: bytes(".rodata"),
            statics: bytes(".data") + bytes(".bss"),
        })
    }
}

/// What a program prints. With `shift=0`, an instruction takes one nanosecond of the machine's time, whatever it does.
fn emulate(executable: &Path) -> Result<String, Box<dyn Error>> {
    // A program that hangs shall not hang its caller.
    const PATIENCE: Duration = Duration::from_secs(300);
    let mut qemu = Command::new("qemu-system-arm")
        .args(["-machine", "mps2-an386", "-nographic", "-icount", "shift=0"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(executable)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run qemu-system-arm: {error}"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = qemu.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            qemu.kill()?;
            qemu.wait()?;
            return Err(format!("it still runs after {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut printed = String::new();
    if let Some(mut stdout) = qemu.stdout {
        stdout.read_to_string(&mut printed)?;
    }
    if !status.success() {
        return Err(format!("it failed: {}", printed.trim()).into());
    }
    Ok(printed)
}

/// The number after a word.
fn number_after(line: &str, word: &str) -> Result<u32, Box<dyn Error>> {
    let mut words = line.split_whitespace();
    words
        .find(|&other| other == word)
        .and_then(|_| words.next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("it printed no {word}: {line:?}").into())
}

fn executable(profile: Profile, name: &str) -> PathBuf {
    output_folder().join(TARGET).join(profile.name()).join(name)
}

fn output_folder() -> PathBuf {
    embedded::output_folder("device-firmware")
}
