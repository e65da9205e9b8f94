"""Extensions cannot be named in pyproject.toml."""

from setuptools import Extension, setup

WAY_IN = ["way_in.c", "waiter.c", "reader.c", "peer.c", "packet.c", "header.c"]

setup(
    cffi_modules=["build_engine.py:builder"],
    ext_modules=[
        Extension(
            "sft_engine_native._way_in",
            WAY_IN,
            depends=["way_in.h", "header.h", "engine.h"],
            extra_compile_args=[
                "-O2",
                "-Wall",
                "-Wextra",
                "-Wno-missing-field-initializers",
                "-Wno-cast-function-type",
            ],
        )
    ],
)
