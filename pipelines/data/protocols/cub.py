"""CUB-200-2011: birds, with ten captions each; 150 classes are trained on, 50 others measured on.

Source: https://www.vision.caltech.edu/datasets/cub_200_2011 (CUB_200_2011.tgz; for research without
profit), and the captions and lists of `described_classes`.

    ROOT/CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg
    ROOT/cvpr2016_cub/trainvalclasses.txt  testclasses.txt  text_c10/…

The split is that of Reed et al. (1605.05396), StackGAN, AttnGAN and what follows them. CUB's own
`train_test_split.txt` divides the pictures of every class and is another one. `label` is the name
of CUB's folder.
"""

import re
from pathlib import Path

from pipelines.data.protocols.described_classes import class_number, described
from pipelines.data.protocols.originals import find
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 8_855, "test": 2_933}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    images = find(root, "CUB_200_2011/images", "images")
    files = {_place(file.parent.name, file.stem): file for file in images.glob("[0-9]*/[!.]*.jpg")}
    splits: Splits = {"train": [], "test": []}
    for one in described(find(root, "cvpr2016_cub")):
        if one.captions:
            expected = images / one.class_name / f"{one.picture}.jpg"
            file = files.get(_place(one.class_name, one.picture), expected)
            row = PreparedRow(file, {"text": one.captions, "label": file.parent.name})
            splits[one.split].append(row)
    return splits


def _place(class_name: str, picture: str) -> tuple[int, str]:
    """The number of the class and the numbers at the end of the picture's name, which the captions'
    files share with it where the bird is spelt otherwise."""
    numbers = re.search(r"\d+_\d+$", picture)
    return class_number(class_name), numbers[0] if numbers else picture
