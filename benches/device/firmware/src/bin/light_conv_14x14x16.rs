#![no_std]
#![no_main]

device_firmware::inference!(LightConv14x14x16);
