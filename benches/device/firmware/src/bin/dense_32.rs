#![no_std]
#![no_main]

device_firmware::inference!(Dense32);
