/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

/* An image service on loopback that keeps records and hashes, and fails as it is told to: for what
 * a real one cannot be made to do. It answers from threads of its own. */

typedef struct _FakeGlance FakeGlance;

typedef enum
{
  FAKE_BEFORE_BODY,             /* the body is not asked for */
  FAKE_IN_BODY,                 /* half of it has come */
  FAKE_AFTER_BODY,
} FakeMoment;

typedef enum
{
  FAKE_ANSWER,                  /* and go on with the next request */
  FAKE_ANSWER_AND_CLOSE,        /* with unread bytes, so that the sender is reset */
  FAKE_RESET,
  FAKE_STALL,                   /* say nothing more until the other side goes away */
  FAKE_DRIP,                    /* say it one byte at a time, ten a second */
  FAKE_ENDLESS_HEADERS,         /* one more header, until the other side goes away */
} FakeEnd;

/* What happens to the next request of @method, in place of what is right. Strings are not
 * copied. */
typedef struct
{
  const char   *method;
  guint         times;          /* 0: once */
  FakeMoment    moment;
  FakeEnd       end;
  guint         status;
  const char   *text;           /* (nullable): the body; the service's own when NULL */
  const char   *becomes;        /* (nullable): the image's status from then on,
      its bytes as they came */
  const char   *headers;        /* (nullable): more of the answer's: "Name: value\r\n" each */
  const char   *then;           /* (nullable): its status after one more GET */
  gboolean      spoil;          /* other hashes than those of the bytes */
  GCancellable *cancel;         /* (nullable): cancelled when it happens */
} FakeFault;

/* What comes in place of an image's bytes. */
typedef enum
{
  FAKE_DOWNLOAD_WHOLE,
  FAKE_DOWNLOAD_CUT,            /* half of them, then the connection is closed */
  FAKE_DOWNLOAD_OTHER,          /* as many, but others */
  FAKE_DOWNLOAD_LONGER,         /* one more */
  FAKE_DOWNLOAD_SHORTER,        /* one less, said to be all */
  FAKE_DOWNLOAD_BUSY,           /* 503 */
} FakeDownload;

FakeGlance *fake_glance_new       (void);
void        fake_glance_free      (FakeGlance *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeGlance, fake_glance_free)

const char *fake_glance_get_url   (FakeGlance *self);
void        fake_glance_add_fault (FakeGlance *self, const FakeFault *fault);
/* What happens to the next so many downloads. */
void        fake_glance_spoil     (FakeGlance *self, FakeDownload download, guint times);
/* From now on only requests with this token are good; NULL: all are. */
void        fake_glance_set_token (FakeGlance *self, const char *token);
/* As uwsgi: never sends "100 Continue". */
void        fake_glance_be_mute   (FakeGlance *self);
/* An image of any record, as if created by somebody else. */
void        fake_glance_add_image (FakeGlance *self, const char *id, const char *json,
                                   const char *status);

/* What it saw. */
guint       fake_glance_count     (FakeGlance *self, const char *method);
guint       fake_glance_get_connections (FakeGlance *self);
char       *fake_glance_get_header (FakeGlance *self,
                                    const char *name);        /* of the last request */
/* (nullable): NULL when there is no such image. */
char       *fake_glance_get_status (FakeGlance *self, const char *id);
