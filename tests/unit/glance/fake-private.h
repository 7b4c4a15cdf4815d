/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

#include "fake-glance.h"

typedef struct
{
  JsonObject *record;           /* as it was sent */
  char       *status;
  const char *then;
  gint64      size;
  char       *md5;
  char       *sha512;
  GBytes     *bytes;            /* (nullable) */
} FakeImage;

struct _FakeGlance
{
  GSocketListener *listener;
  GThread        *thread;
  char           *url;
  GCancellable   *stop;

  GMutex          lock;
  GHashTable     *images;       /* id -> FakeImage */
  GPtrArray      *order;        /* of ids */
  GArray         *faults;
  char           *token;
  gboolean        mute;
  GHashTable     *counts;       /* method -> number */
  GHashTable     *headers;      /* of the last request */
  guint           connections;
  FakeDownload    download;     /* what happens to the next of them */
  guint           downloads;    /* and to how many */
};

/* One request on its connection. */
typedef struct
{
  FakeGlance    *fake;
  GSocket       *socket;
  GInputStream  *input;
  GOutputStream *output;
  char          *method;
  char          *path;
  char          *query;
  GHashTable    *headers;
  gint64         length;
  FakeFault      fault;         /* method NULL: none */
} FakeRequest;

/* With the lock held. */
FakeImage *fake_glance_find   (FakeGlance *self, const char *id);

/* The bytes of an image, or what is to come in their place. */
gboolean   fake_request_download (FakeRequest *self, FakeImage *image);
/* Answers; returns whether the connection is still good. */
gboolean   fake_request_serve (FakeRequest *self);
