//! Stochastic gradient descent of a network of vectors.
#![no_std]
#![no_main]

size_firmware::train!(Features);
