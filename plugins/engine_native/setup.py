"""cffi's modules cannot be named in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["build_engine.py:builder"])
