//! Inference of vectors.
#![no_std]
#![no_main]

size_firmware::infer!(Features);
