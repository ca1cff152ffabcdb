//! Inference of images.
#![no_std]
#![no_main]

size_firmware::infer!(Images);
