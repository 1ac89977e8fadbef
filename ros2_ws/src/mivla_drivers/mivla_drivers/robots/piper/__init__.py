"""AgileX PiPER, six joints and a gripper, over CAN."""

SDK_PACKAGES = ("piper_sdk",)  # whose versions a published result names
