"""oneDNN's C API (version 3), as far as it is used: numbers and signatures. Source: oneDNN's dnnl.h."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any

MAX_AXES = 12

Dims = c_int64 * MAX_AXES


class Argument(Structure):
    """What `dnnl_primitive_execute` takes for each array (dnnl_exec_arg_t)."""

    _fields_ = [("arg", c_int), ("memory", c_void_p)]


class Version(Structure):
    """What `dnnl_version` points to (dnnl_version_t)."""

    _fields_ = [
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", c_char_p),
        ("cpu_runtime", c_uint),
        ("gpu_runtime", c_uint),
    ]


STATUSES = {
    1: "out of memory",
    2: "invalid arguments",
    3: "not implemented",
    4: "no further implementation",
    5: "runtime error",
    6: "not required",
}
UNIMPLEMENTED = 3

CPU = 1
IN_ORDER = 1  # dnnl_stream_in_order
F32, S32 = 3, 4
ANY = 1  # dnnl_format_tag_any
SCRATCHPAD_USER = 1
OPENMP = 2  # dnnl_runtime_omp, a bit of cpu_runtime

TRAINING, INFERENCE, BACKWARD, BACKWARD_DATA = 64, 96, 128, 160

CONVOLUTION_DIRECT = 0x1
MAX_POOLING, AVE_POOLING_INCLUDE_PADDING = 0x1FF, 0x2FF
LRN_ACROSS, LRN_WITHIN = 0xAFF, 0xBFF
ADD, MULTIPLY, DIVIDE, SUBTRACT = 0x1FFF0, 0x1FFF1, 0x1FFF4, 0x1FFF5
SOFTMAX_ACCURATE = 0x30000

RELU, TANH, LINEAR, LOGISTIC, CLIP = 0x20, 0x21, 0x26, 0x29, 0x2F  # CLIP is clip_v2: no gradient at the bounds
CLIP_ABOVE = 0x2E  # clip: no gradient at the lower bound, but at the upper one
SQRT, EXP, LOG = 0x25, 0x2A, 0x2D
ELU, ABS, SWISH, HARD_SWISH = 0x22, 0x24, 0x2C, 0x34
GELU_TANH, GELU_ERF = 0x2B, 0x31
RELU_BY_TOP, TANH_BY_TOP, LOGISTIC_BY_TOP, CLIP_BY_TOP = 0x100, 0x101, 0x104, 0x106
ELU_BY_TOP, EXP_BY_TOP = 0x102, 0x105

GLOBAL_STATISTICS, USE_SCALE, USE_SHIFT, FUSE_RELU = 0x1, 0x2, 0x4, 0x8  # flags of normalisation

IMPLEMENTATION = 8  # dnnl_query_impl_info_str
WEIGHTS_MD, DIFF_WEIGHTS_MD, WORKSPACE_MD, SCRATCHPAD_MD = 131, 132, 135, 136

SRC, SRC_1, DST, WEIGHTS, BIAS = 1, 2, 17, 33, 41
MEAN, VARIANCE, SCALE, SHIFT = 49, 50, 51, 52
WORKSPACE, SCRATCHPAD = 64, 80
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS = 129, 145, 161, 169
DIFF_SCALE, DIFF_SHIFT = 255, 256
MULTIPLE_SRC = 1024
ATTR_SCALES = 4096

_OUT = POINTER(c_void_p)
_ATTR = c_void_p
_MD = c_void_p
_PD = c_void_p
_WINDOWS = (Dims, Dims, Dims, Dims)  # strides, dilations, padding before, padding behind


def post_op(index: int) -> int:
    """The second operand of an operation that follows a primitive's own, counted from 0."""
    return 32768 * (index + 1) | SRC_1


PRIMITIVES: dict[str, tuple[Any, ...]] = {
    "convolution_forward": (c_int, c_int, _MD, _MD, _MD, _MD, *_WINDOWS, _ATTR),
    "convolution_backward_data": (c_int, _MD, _MD, _MD, *_WINDOWS, _PD, _ATTR),
    "convolution_backward_weights": (c_int, _MD, _MD, _MD, _MD, *_WINDOWS, _PD, _ATTR),
    "inner_product_forward": (c_int, _MD, _MD, _MD, _MD, _ATTR),
    "inner_product_backward_data": (_MD, _MD, _MD, _PD, _ATTR),
    "inner_product_backward_weights": (_MD, _MD, _MD, _MD, _PD, _ATTR),
    "eltwise_forward": (c_int, c_int, _MD, _MD, c_float, c_float, _ATTR),
    "eltwise_backward": (c_int, _MD, _MD, _MD, c_float, c_float, _PD, _ATTR),
    "softmax_forward": (c_int, c_int, _MD, _MD, c_int, _ATTR),
    "softmax_backward": (c_int, _MD, _MD, _MD, c_int, _PD, _ATTR),
    "pooling_forward": (c_int, c_int, _MD, _MD, Dims, Dims, Dims, Dims, Dims, _ATTR),
    "pooling_backward": (c_int, _MD, _MD, Dims, Dims, Dims, Dims, Dims, _PD, _ATTR),
    "lrn_forward": (c_int, c_int, _MD, _MD, c_int64, c_float, c_float, c_float, _ATTR),
    "lrn_backward": (c_int, _MD, _MD, _MD, c_int64, c_float, c_float, c_float, _PD, _ATTR),
    "batch_normalization_forward": (c_int, _MD, _MD, c_float, c_uint, _ATTR),
    "batch_normalization_backward": (c_int, _MD, _MD, _MD, c_float, c_uint, _PD, _ATTR),
    "layer_normalization_forward": (c_int, _MD, _MD, _MD, c_float, c_uint, _ATTR),
    "layer_normalization_backward": (c_int, _MD, _MD, _MD, _MD, c_float, c_uint, _PD, _ATTR),
    "prelu_forward": (c_int, _MD, _MD, _MD, _ATTR),
    "prelu_backward": (_MD, _MD, _MD, _MD, _MD, _PD, _ATTR),
    "binary": (c_int, _MD, _MD, _MD, _ATTR),
    "matmul": (_MD, _MD, _MD, _MD, _ATTR),
    "concat": (_MD, c_int, c_int, POINTER(_MD), _ATTR),
    "reorder": (_MD, c_void_p, _MD, c_void_p, _ATTR),
}
"""What follows the result and the engine in each `dnnl_NAME_primitive_desc_create`; reorder's engines stand inside."""

FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "dnnl_engine_create": (_OUT, c_int, c_size_t),
    "dnnl_stream_create": (_OUT, c_void_p, c_uint),
    "dnnl_memory_desc_create_with_strides": (_OUT, c_int, Dims, c_int, Dims),
    "dnnl_memory_desc_create_with_tag": (_OUT, c_int, Dims, c_int, c_int),
    "dnnl_memory_desc_clone": (_OUT, _MD),
    "dnnl_memory_desc_destroy": (_MD,),
    "dnnl_memory_create": (_OUT, _MD, c_void_p, c_void_p),
    "dnnl_memory_set_data_handle": (c_void_p, c_void_p),
    "dnnl_memory_destroy": (c_void_p,),
    "dnnl_primitive_attr_create": (_OUT,),
    "dnnl_primitive_attr_destroy": (_ATTR,),
    "dnnl_primitive_attr_set_scratchpad_mode": (_ATTR, c_int),
    "dnnl_primitive_attr_set_scales_mask": (_ATTR, c_int, c_int),
    "dnnl_primitive_attr_set_post_ops": (_ATTR, c_void_p),
    "dnnl_post_ops_create": (_OUT,),
    "dnnl_post_ops_destroy": (c_void_p,),
    "dnnl_post_ops_append_eltwise": (c_void_p, c_int, c_float, c_float),
    "dnnl_post_ops_append_binary": (c_void_p, c_int, _MD),
    "dnnl_post_ops_append_sum": (c_void_p, c_float, c_int, c_int),
    "dnnl_primitive_desc_query": (_PD, c_int, c_int, c_void_p),
    "dnnl_primitive_desc_destroy": (_PD,),
    "dnnl_primitive_create": (_OUT, _PD),
    "dnnl_primitive_destroy": (c_void_p,),
    "dnnl_primitive_execute": (c_void_p, c_void_p, c_int, POINTER(Argument)),
}
"""The functions that return a status, with what they take."""

OTHERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "dnnl_version": (POINTER(Version), ()),
    "dnnl_memory_desc_get_size": (c_size_t, (_MD,)),
    "dnnl_memory_desc_equal": (c_int, (_MD, _MD)),
    "dnnl_primitive_desc_query_md": (_MD, (_PD, c_int, c_int)),
}
"""The functions that return something else: what they return, what they take."""
