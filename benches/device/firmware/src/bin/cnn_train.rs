#![no_std]
#![no_main]

device_firmware::training!(Cnn);
