/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/store.h>

G_BEGIN_DECLS

/* The threads of a store. Work that blocks is done there, one GTask each; it touches nothing but
 * its own request. */

typedef struct _ImagePool ImagePool;

/* Returns the result into @task before it returns itself. @request is the task's data. */
typedef void (*ImageWork) (GTask *task, gpointer request);

ImagePool *image_pool_new          (guint transfers, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       image_pool_free         (ImagePool *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImagePool, image_pool_free)

/* Small work goes past the transfers, which take as long as they take. */
void       image_pool_run          (ImagePool *self, GTask *task, ImageWork work);
void       image_pool_run_transfer (ImagePool *self, GTask *task, ImageWork work);
/* What strangers make us do goes beside all that; refused when too much of it waits already. */
void       image_pool_run_stranger (ImagePool *self, GTask *task, ImageWork work);

/* How far a transfer is, told in its thread and heard in that of the task. */
typedef struct
{
  GTask         *task;
  ImageProgress  callback;      /* (nullable) */
  gpointer       user_data;
  gint64         told_us;
} ImagePoolProgress;

void       image_pool_progress     (ImagePoolProgress *self, gint64 done, gint64 total);

G_END_DECLS
