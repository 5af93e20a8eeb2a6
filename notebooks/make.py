"""Run the notebooks, blank them, bring them back, run each cell twice: what the Makefile calls.

    python notebooks/make.py run|blank|fresh|rerun [NUMBER]
"""

import argparse
import copy
import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["run", "blank", "fresh", "rerun"])
    parser.add_argument("number", nargs="?", help="only this notebook, such as 1")
    args = parser.parse_args()
    every = sorted(HERE.glob("[0-9]_*.ipynb"))
    chosen = [path for path in every if args.number in (None, path.name[0], path.stem, path.name)]
    if not chosen:
        sys.exit(f"There is no notebook {args.number!r}. There are: {', '.join(path.stem for path in every)}.")
    if args.what == "fresh" and args.number is None:
        sys.exit(f"Say which notebook to bring back, by its number: make fresh NB=1. "
                 f"There are: {', '.join(path.stem for path in every)}.")
    if args.what in ("run", "rerun"):
        from mmutils import is_lecture_list, load_words  # here, since it takes torch some seconds to load
        from mmutils.data import fetch
        why_not = fetch()
        if why_not or not is_lecture_list(load_words()):
            sys.exit(f"The notebooks' outputs are made on the lecture's list, which is not in data/names.txt "
                     f"({why_not}). data/README.md says how to put it there.")
        os.environ |= {"OMP_NUM_THREADS": "1", "MMUTILS_TEST": "1"}   # one torch thread, no progress bars
    failed = [path for path in chosen if not globals()[args.what](path)]
    sys.exit(1 if failed else 0)


def client_for(notebook):
    return NotebookClient(notebook, timeout=400, kernel_name="python3", coalesce_streams=True,
                          resources={"metadata": {"path": str(HERE)}})


def code_cells(notebook):
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]


def run(path):
    """Execute a notebook in place and strip its metadata. If a cell fails, the file stays as it was."""
    notebook = strip(nbformat.read(path, as_version=4))
    try:
        client_for(notebook).execute()
    except CellExecutionError as error:
        print(f"{path.name}: a cell failed, so the file was left as it was.\n{error}")
        return False
    nbformat.write(strip(notebook), path)
    print(f"{path.name}: {len(code_cells(notebook))} code cells, {path.stat().st_size // 1000} KB")
    return True


def strip(notebook):
    """Take away metadata but tags, alt texts and the size of pictures, and the outputs of cells that show a widget.

    A cell's metadata have the alt text of its picture, or a list for several. It goes into the metadata of the picture,
    too, where nbconvert looks for it.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in ("alt", "tags") and v})
        if cell.cell_type == "code":
            if any(WIDGET in output.get("data", {}) for output in cell.outputs):
                cell.outputs = []
            for output in cell.outputs:
                output.pop("transient", None)
                if "metadata" in output:                # a retina picture is shown at half its size
                    output.metadata = {k: v for k, v in output.metadata.items() if k == "image/png"}
            alt = cell.metadata.get("alt", [])
            pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
            for output, its_alt in zip(pictures, [alt] if isinstance(alt, str) else alt, strict=False):
                output.metadata.setdefault("image/png", {})["alt"] = its_alt
    return notebook


def rerun(path):
    """Execute every cell twice in place: its outputs, pictures included, must be the same the second time."""
    notebook = nbformat.read(path, as_version=4)
    client, different = client_for(notebook), []
    with client.setup_kernel():
        for number, (i, cell) in enumerate(code_cells(notebook), start=1):
            try:
                outputs = []
                for _ in range(2):
                    client.execute_cell(cell, i)
                    outputs.append(comparable(cell.outputs))
            except CellExecutionError as error:
                print(f"{path.name}: code cell {number} failed.\n{error}")
                return False
            if outputs[0] != outputs[1] and "nbval-ignore-output" not in cell.metadata.get("tags", []):
                different.append(number)
                print(f"{path.name}: code cell {number} gives another output the second time:\n{cell.source}\n")
    print(f"{path.name}: {number} code cells run twice in place, {len(different)} of them with another output")
    return not different


def comparable(outputs):
    """Outputs as a list of (kind, content), with pieces of one stream joined."""
    result = []
    for output in copy.deepcopy(outputs):
        if output.output_type == "stream":
            if result and result[-1][0] == output.name:
                result[-1] = (output.name, result[-1][1] + output.text)
            else:
                result.append((output.name, output.text))
        else:
            result.append((output.output_type, dict(output.get("data", {}))))
    return result


def blank(path):
    """Write a copy with empty code cells into blank/. A copy that is there is somebody's work: it is left alone."""
    target = ROOT / "blank" / path.name
    if target.exists():
        print(f"blank/{path.name} is there already and was left alone. Delete it to get an empty one.")
        return True
    notebook = strip(nbformat.read(path, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(source="", outputs=[], execution_count=None)
    target.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, target)
    print(f"blank/{path.name}: {sum(c.cell_type == 'code' for c in notebook.cells)} empty code cells")
    return True


def fresh(path):
    """Bring a notebook back as it was committed. The reader's version moves to kept/, with the time in its name."""
    git = shutil.which("git")
    committed = git and subprocess.run([git, "show", f"HEAD:./{path.name}"], cwd=HERE, capture_output=True)
    if not committed or committed.returncode:
        print(f"{path.name} cannot be brought back: that takes git, and a folder that was cloned with git.")
        return False
    if path.read_bytes() == committed.stdout:
        print(f"{path.name} is as it was.")
        return True
    kept = ROOT / "kept" / f"{path.stem}-{datetime.datetime.now():%Y-%m-%d-%H%M%S}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    shutil.copy2(path, kept)
    path.write_bytes(committed.stdout)
    print(f"{path.name} is as it was. Your version is kept in kept/{kept.name}. "
          f"If it is open in JupyterLab: File > Reload Notebook from Disk.")
    return True


if __name__ == "__main__":
    main()
