"""Models in other forms: how they are made and compared. What reads them is in `artefact`.

Apart, since making them needs torch and the packages of the extra `export`, and reading them must
not.
"""
