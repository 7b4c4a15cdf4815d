/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/images.h>

#include "fake-glance.h"
#include "pattern.h"

/* A fake service with one image that waits for its bytes. */

#define UPLOAD_ID     "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"
#define UPLOAD_LENGTH (3 * 1024 * 1024 + 517)

typedef struct
{
  FakeGlance   *fake;
  GlanceImages *images;
  Pattern       pattern;
  GlanceBody    body;           /* of the pattern */
  gint64        told;           /* of the progress: the last, */
  guint         told_from_start;        /* and how often it was less than before */
} UploadFixture;

/* @settings: but for the address. */
void     upload_fixture_setup    (UploadFixture *self, GlanceSettings settings);
void     upload_fixture_teardown (UploadFixture *self, gconstpointer data);

GThread *cancel_after            (GCancellable *cancellable, guint ms);
