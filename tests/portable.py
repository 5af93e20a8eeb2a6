"""The notebooks under the code paths of other processors: AVX-512 (where there is one), AVX2, and neither.

    python tests/portable.py [NUMBER]

torch, MKL and oneDNN choose their code by the processor; these settings make them choose as on another one.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")
PATHS = {  # on AMD's processors MKL takes one path of its own for the first two
    "AVX-512": ("avx512", "AVX512", "AVX512", "AVX512_CORE"),
    "AVX2": ("avx2", "AVX2", "AVX2", "AVX2"),
    "baseline": ("default", "SSE4_2", "COMPATIBLE", "SSE41"),
}


def main():
    notebooks = sorted(str(path) for path in (ROOT / "notebooks").glob(f"{''.join(sys.argv[1:])[:1]}[0-9_]*.ipynb"))
    best = torch.backends.cpu.get_cpu_capability()
    failed = []
    for name, values in PATHS.items():
        if name == "AVX-512" and best != "AVX512":
            print(f"{name}: this processor has none ({best}).")
            continue
        print(f"----- {name}", flush=True)
        environment = os.environ | dict(zip(SETTINGS, values, strict=True))
        if subprocess.run([sys.executable, "-m", "pytest", *notebooks], cwd=ROOT, env=environment).returncode:
            failed.append(name)
    print(f"failed under: {', '.join(failed)}" if failed else "all code paths: passed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
