"""Tests of the engine: values in, values out; `send` is a plain async function."""
