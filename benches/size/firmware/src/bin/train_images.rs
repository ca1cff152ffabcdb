//! Stochastic gradient descent of a network of images.
#![no_std]
#![no_main]

size_firmware::train!(Images);
