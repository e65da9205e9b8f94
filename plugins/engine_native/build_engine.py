"""Compiles engine.c into ``sft_engine_native._engine`` (cffi, API mode)."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

builder = FFI()
builder.cdef(
    (HERE / "engine.h").read_text() + 'extern "Python" void hand_over(void *, const uint8_t *, int);'
)
builder.set_source(
    "sft_engine_native._engine",
    '#include "engine.h"\nstatic void hand_over(void *, const uint8_t *, int);\n'
    + (HERE / "engine.c").read_text(),
    include_dirs=[str(HERE)],
    extra_compile_args=["-O2", "-Wall", "-Wextra"],
)

if __name__ == "__main__":
    builder.compile(verbose=True)
