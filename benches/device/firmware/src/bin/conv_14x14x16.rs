#![no_std]
#![no_main]

device_firmware::inference!(Conv14x14x16);
