/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/body.h>
#include <image/source.h>

/* A source as the bytes of an upload, which it has to outlive. */
GlanceBody image_body (ImageSource *source);
