"""What the service answers, in JSON."""

from typing import Annotated

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1.0001)]  # float32 may exceed 1 by a rounding error


class Prediction(BaseModel):
    """A class and its probability."""

    label: str
    probability: Share
    calibrated: Annotated[
        Share | None, Field(description="The calibrated probability; missing if the run is not calibrated")
    ] = None


class Unlike(BaseModel):
    """Whether an image is unlike those that the network was trained on."""

    unlike: bool
    as_unusual: Annotated[Share, Field(description="Share of the held-out images that are at least as unusual")]
    held_out: Annotated[int, Field(description="Number of images that were held out of the training")]
    score: Annotated[
        float, Field(description="Higher for more unusual images; to compare and sort images of one network")
    ]
    limit: Annotated[float, Field(description="The score above which an image is unlike")]


class ImageAnswer(BaseModel):
    """The network's answer for one image."""

    file: Annotated[str | None, Field(description="Name of the file in a form; null for an image that is the body")]
    predictions: Annotated[list[Prediction], Field(description="The most likely classes, most likely first")]
    routing: Annotated[
        list[list[float]],
        Field(
            description="The weight of each expert in each block; in a block without experts (see `blocks` in /about), 1 for the first"
        ),
    ]
    unlike: Annotated[Unlike | None, Field(description="null if it is unknown what the training images are like")]


class Network(BaseModel):
    """Which network answers."""

    run: str
    checkpoint: str
    epoch: int
    fingerprint: Annotated[str, Field(description="A digest of the weights")]


class Versions(BaseModel):
    """The versions of the software that answers."""

    expertnet: str
    onnxruntime: str


class Milliseconds(BaseModel):
    """What the time of a request went into."""

    receive: Annotated[float, Field(description="Until the last byte of the request had arrived")]
    decode: float
    classify: Annotated[float, Field(description="Waiting for a processor core, and the network")]
    total: float


class Answer(BaseModel):
    """The answers for the images of a request, in their order."""

    images: list[ImageAnswer]
    network: Network
    versions: Versions
    milliseconds: Milliseconds


class About(BaseModel):
    """What the service serves, and its limits."""

    name: str
    network: Network
    versions: Versions
    dataset: str
    classes: list[str]
    image_size: Annotated[int, Field(description="Every image is cropped to a square and resized to this side")]
    blocks: Annotated[list[int], Field(description="The number of each block that has experts")]
    unlike: Annotated[bool, Field(description="Whether answers say which images are unlike the training images")]
    limits: dict[str, int]


class State(BaseModel):
    """Whether the service is running, or ready for another request."""

    status: str


class Problem(BaseModel):
    """Why a request was refused, in one sentence."""

    error: str
