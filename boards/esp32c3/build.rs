//! Lets the linker find the scripts of `esp-hal`, which knows the chip's memory, and of `defmt`.

fn main() {
    // The last one has to be that of `esp-hal`.
    for script in ["defmt.x", "linkall.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}
