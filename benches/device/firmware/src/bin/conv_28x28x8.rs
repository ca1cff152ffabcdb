#![no_std]
#![no_main]

device_firmware::inference!(Conv28x28x8);
