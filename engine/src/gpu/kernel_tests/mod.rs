//! Every kernel variant against its CPU twin, on random data and odd shapes.
//!
//! The device is Mesa's lavapipe; `TILEWRIGHT_TEST_ADAPTER` names another one. The random numbers are the project's own
//! counter-based generator, so a failure comes again.

mod heads;
mod layers;
mod products;
mod rig;
mod sampling;
